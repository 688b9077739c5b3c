package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
)

func TestResponsesThatAreRefused(t *testing.T) {
	for what, head := range map[string]string{
		"no version":             "200 OK\r\n\r\n",
		"HTTP/2":                 "HTTP/2.0 200 OK\r\n\r\n",
		"a status of two digits": "HTTP/1.1 20 OK\r\n\r\n",
		"a status of four":       "HTTP/1.1 2000 OK\r\n\r\n",
		"a status below 100":     "HTTP/1.1 099 OK\r\n\r\n",
		"a status of letters":    "HTTP/1.1 abc OK\r\n\r\n",
		"switched protocols":     "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
		"a bare line feed":       "HTTP/1.1 200 OK\n\n",
		"two lengths":            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"a length and a coding":  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"another coding":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"a coding in HTTP/1.0":   "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"a control byte":         "HTTP/1.1 200 OK\r\nX-Etcd-Index: 1\x00\r\n\r\n",
	} {
		var r Response
		if _, err := r.Parse([]byte(head), "GET", Limits{}); err == nil {
			t.Errorf("parsing a response with %s: got %+v and no error, want an error", what, r)
		}
	}
}

func TestWhereResponsesEnd(t *testing.T) {
	ends := func(what, method, head string, body Framing, length int64, closes bool) {
		t.Helper()
		var r Response
		if _, err := r.Parse([]byte(head), method, Limits{}); err != nil || r.Body != body || r.Length != length || r.Close != closes {
			t.Errorf("parsing a response with %s: got %+v, %v, want body %v, length %d, close %v", what, r, err, body, length, closes)
		}
	}
	ends("a length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Length, 5, false)
	ends("an empty body", "GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", None, 0, false)
	ends("chunks", "GET", "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n", Chunked, -1, false)
	ends("the connection's end", "GET", "HTTP/1.1 200 OK\r\n\r\n", UntilClose, -1, true)
	ends("HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Length, 5, true)
	ends("a HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", None, 5, false)
	ends("a HEAD of chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None, -1, false)
	ends("no content", "DELETE", "HTTP/1.1 204 No Content\r\n\r\n", None, -1, false)
	ends("an interim one", "PUT", "HTTP/1.1 100 Continue\r\n\r\n", None, -1, false)
	ends("a close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", Length, 5, true)
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nContent-Length: 5\r\n\r\n"), false)
	f.Add([]byte("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, head bool) {
		method := map[bool]string{true: "HEAD", false: "GET"}[head]
		var r Response
		n, err := r.Parse(data, method, Limits{})
		if err != nil || n == 0 {
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data[:n])), &http.Request{Method: method})
		if err != nil {
			if bytes.Contains(data[:n], []byte("railer")) || bytes.Contains(data[:n], []byte("RAILER")) || bytes.Contains(bytes.ToLower(data[:n]), []byte("trailer")) {
				return // this grammar does not read announced trailers
			}
			t.Fatalf("net/http reading the accepted head %q: got error %v, want none", data[:n], err)
		}
		if want.StatusCode != r.Status || want.Close != r.Close && r.Status != 204 && r.Body != None {
			t.Fatalf("%q: %+v; net/http: %+v", data[:n], r, want)
		}
		if r.Body == Length && want.ContentLength != r.Length || r.Body == Chunked && len(want.TransferEncoding) != 1 {
			t.Fatalf("%q: %+v; net/http: %+v", data[:n], r, want)
		}
	})
}

func BenchmarkResponse(b *testing.B) {
	head := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Etcd-Cluster-Id: cdf818194e3a8c32\r\nX-Etcd-Index: 123456\r\n" +
		"X-Raft-Index: 234567\r\nX-Raft-Term: 7\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 103\r\n\r\n")
	var r Response
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Parse(head, "GET", Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
