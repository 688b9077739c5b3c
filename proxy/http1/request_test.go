package http1

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
)

func parseRequest(t testing.TB, head string) (*Request, *Error) {
	t.Helper()
	var r Request
	n, err := r.Parse([]byte(head), Limits{})
	var refused *Error
	if err != nil && !errors.As(err, &refused) {
		t.Fatalf("parsing %q: got error %v of type %[2]T, want an *Error", head, err)
	}
	if err == nil && n != len(head) {
		t.Errorf("parsing %q: got %d bytes, want %d", head, n, len(head))
	}
	return &r, refused
}

func TestHeadsThatAreRefused(t *testing.T) {
	refused := func(what string, status int, head string) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			if r, err := parseRequest(t, head); err == nil || err.Status != status {
				t.Errorf("parsing %q: got error %v and %+v, want status %d", head, err, r, status)
			}
		})
	}
	const host = "Host: h\r\n"
	line := func(what string, status int, line string) {
		t.Helper()
		refused(what, status, line+"\r\n"+host+"\r\n")
	}
	field := func(what string, status int, fields string) {
		t.Helper()
		refused(what, status, "PUT /k HTTP/1.1\r\n"+host+fields+"\r\n")
	}
	line("an empty line first", 400, "")
	line("a blank first", 400, " GET / HTTP/1.1")
	line("a tab between", 400, "GET\t/ HTTP/1.1")
	line("two blanks", 400, "GET  / HTTP/1.1")
	line("a blank in the target", 400, "GET /a b HTTP/1.1")
	line("a tab in the target", 400, "GET /a\tb HTTP/1.1")
	line("a NUL in the target", 400, "GET /a\x00 HTTP/1.1")
	line("a DEL in the target", 400, "GET /a\x7f HTTP/1.1")
	line("no version", 400, "GET /")
	line("no target", 400, "GET HTTP/1.1")
	line("an empty target", 400, "GET  HTTP/1.1")
	line("a blank behind the version", 400, "GET / HTTP/1.1 ")
	line("a version in lower case", 400, "GET / http/1.1")
	line("HTTP/1.2", 505, "GET / HTTP/1.2")
	line("HTTP/2.0", 505, "PRI * HTTP/2.0")
	line("HTTP/0.9", 505, "GET / HTTP/0.9")
	line("a version with more digits", 400, "GET / HTTP/1.10")
	line("a method that is no token", 400, "GE(T / HTTP/1.1")
	line("a CR in the middle", 400, "GET /\r HTTP/1.1")
	refused("bare line feeds", 400, "GET / HTTP/1.1\nHost: h\n\n")
	refused("one bare line feed", 400, "GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n")
	refused("a bare line feed at the end", 400, "GET / HTTP/1.1\r\nHost: h\r\n\n")
	refused("no Host", 400, "GET / HTTP/1.1\r\n\r\n")
	refused("an empty Host", 400, "GET / HTTP/1.1\r\nHost:\r\n\r\n")
	refused("a Host with a path", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")
	refused("a Host with a user", 400, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n")
	field("two Hosts", 400, "host: h\r\n")
	field("a blank before the colon", 400, "A : b\r\n")
	field("an empty name", 400, ": b\r\n")
	field("a name that is no token", 400, "A(: b\r\n")
	field("no colon", 400, "Abc\r\n")
	field("a folded field", 400, "A: b\r\n c\r\n")
	field("a NUL in a value", 400, "A: b\x00\r\n")
	field("a CR in a value", 400, "A: b\rc\r\n")
	field("a DEL in a value", 400, "A: \x7f\r\n")
	field("a negative length", 400, "Content-Length: -1\r\n")
	field("a length with a sign", 400, "Content-Length: +7\r\n")
	field("a length in hexadecimal", 400, "Content-Length: 0x7\r\n")
	field("an empty length", 400, "Content-Length:\r\n")
	field("a list of lengths", 400, "Content-Length: 7, 7\r\n")
	field("a length that overflows", 400, "Content-Length: 99999999999999999999\r\n")
	field("two lengths", 400, "Content-Length: 7\r\nContent-Length: 8\r\n")
	field("the same length twice", 400, "Content-Length: 7\r\ncontent-length: 7\r\n")
	field("a length and a coding", 400, "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n")
	field("a coding and a length", 400, "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n")
	field("another coding", 501, "Transfer-Encoding: gzip\r\n")
	field("two codings in one", 501, "Transfer-Encoding: gzip, chunked\r\n")
	field("a coding with a vertical tab", 400, "Transfer-Encoding: \vchunked\r\n")
	field("two codings", 400, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")
	field("an empty coding", 501, "Transfer-Encoding:\r\n")
	field("connection options that are none", 400, "Connection: a close\r\n")
	field("two Authorizations", 400, "Authorization: Basic eDp5\r\nauthorization: Basic eDp5\r\n")
	field("two types", 400, "Content-Type: text/plain\r\nContent-Type: application/x-www-form-urlencoded\r\n")
	field("another expectation", 417, "Expect: the best\r\n")
	field("an expectation that only begins like one", 417, "Expect: 100-continued\r\n")
	field("an empty expectation", 417, "Expect:\r\n")
	field("a length with an underscore", 400, "Content_Length: 7\r\n")
	field("a forwarded address with underscores", 400, "X_Forwarded_For: 127.0.0.1\r\n")
	refused("a coding in HTTP/1.0", 400, "PUT /k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")
	field("too many fields", 431, strings.Repeat("A: b\r\n", 100))
	refused("a head that is too large", 431, "GET / HTTP/1.1\r\nA: "+strings.Repeat("x", defaultHead)+"\r\n\r\n")
	refused("a head without an end", 431, strings.Repeat("x", defaultHead))
}

func TestHeadsOfRealClients(t *testing.T) {
	// PyBal: HTTP/1.0, no port in the host, a slash before the query.
	r, err := parseRequest(t, "GET /v2/keys/conftool/v1/pools/?recursive=true&waitIndex=7&wait=true HTTP/1.0\r\nHost: conf1001\r\n\r\n")
	if err != nil || r.Minor != 0 || !r.Close || r.Body != None || r.Host != "conf1001" {
		t.Errorf("a request of PyBal: got %+v, %v, want HTTP/1.0 that closes, without a body, for conf1001", r, err)
	}
	// python-etcd: a lower-case name, a form.
	r, err = parseRequest(t, "PUT /v2/keys/a HTTP/1.1\r\nHost: h:4001\r\nAccept-Encoding: identity\r\nContent-Length: 9\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nauthorization: Basic eDp5\r\n\r\n")
	if err != nil || r.Body != Length || r.Length != 9 || r.Authorization != "Basic eDp5" || r.Close || r.AcceptEncoding != "identity" ||
		r.ContentType != "application/x-www-form-urlencoded" {
		t.Errorf("a request of python-etcd: got %+v, %v, want its 9 bytes of body and its fields", r, err)
	}
	// curl with a large body.
	r, err = parseRequest(t, "PUT /v2/keys/a HTTP/1.1\r\nHost: h\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nExpect: 100-continue\r\nTransfer-Encoding: Chunked\r\n\r\n")
	if err != nil || r.Body != Chunked || !r.Expect || r.UserAgent != "curl/7.88.1" || r.Accept != "*/*" {
		t.Errorf("a request of curl: got %+v, %v, want a chunked body that waits for 100 Continue", r, err)
	}
	r, err = parseRequest(t, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nExpect: 100-continue\r\n\r\n")
	if err != nil || r.Close || r.Expect {
		t.Errorf("HTTP/1.0 with keep-alive: got %+v, %v, want Close and Expect false", r, err)
	}
	r, err = parseRequest(t, "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade,close\r\nConnection: x\r\n\r\n")
	if err != nil || !r.Close || r.Upgrade {
		t.Errorf("connection options: got %+v, %v, want Close true and Upgrade false", r, err)
	}
	if r, err = parseRequest(t, "GET / HTTP/1.1\r\nHost: [::1]:4001\r\nUpgrade: websocket\r\nA: \t b\xe9\t \r\n\r\n"); err != nil || !r.Upgrade || r.Fields[2].Value != "b\xe9" {
		t.Errorf("an upgrade: got %+v, %v, want Upgrade true and the byte 0xe9 in the last field", r, err)
	}
}

func TestAnUpgradeBeforeThePrefaceOfHTTP2IsRefused(t *testing.T) {
	for text, want := range map[string]error{
		"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": errPreface,
		"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\nGET / HTTP/1.1\r\n":               nil,
		"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":            errNoHost,
		"GET / HTTP/1.1\r\nHost: h\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                 nil, // the preface is refused as a request of its own
	} {
		var r Request
		if _, err := r.Parse([]byte(text), Limits{}); !errors.Is(err, want) && (want != nil || err != nil) {
			t.Errorf("parsing %q: got %v, want %v", text, err, want)
		}
	}
}

func TestAHeadThatTricklesInIsReadTheSame(t *testing.T) {
	head := []byte("PUT /v2/keys/a HTTP/1.1\r\nHost: h:4001\r\nContent-Length: 9\r\nX: y\r\n\r\n")
	var r Request
	for i := range head {
		if n, err := r.Parse(head[:i], Limits{}); n != 0 || err != nil {
			t.Fatalf("parsing the first %d bytes: got %d, %v, want 0, nil", i, n, err)
		}
	}
	if n, err := r.Parse(append(bytes.Clone(head), "rest"...), Limits{}); n != len(head) || err != nil || r.Length != 9 {
		t.Errorf("parsing the whole head and more: got %d, %v, %+v, want %d bytes and the length 9", n, err, r, len(head))
	}
}

// FuzzHead checks that net/http accepts every accepted head and reads it in the same way.
func FuzzHead(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
	f.Add([]byte("PUT /a?b HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 007\r\n\r\n"))
	f.Add([]byte("POST /%41 HTTP/1.1\r\nHost: h:1\r\nTransfer-Encoding: chunked\r\nConnection: close, x\r\nA:\t \r\n\r\n"))
	f.Add([]byte("OPTIONS * HTTP/1.1\r\nHOST: [::1]\r\nExpect: 100-Continue\r\nA: b\r\na: c\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Request
		n, err := r.Parse(data, Limits{})
		if err != nil || n == 0 {
			return
		}
		r.hide()
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data[:n])))
		if err != nil {
			// net/http also parses the target as a URL, which this grammar does not do.
			if strings.Contains(err.Error(), "parse ") || strings.Contains(err.Error(), "URI") {
				return
			}
			t.Fatalf("net/http reading the accepted head %q: got error %v, want none", data[:n], err)
		}
		length := r.Length
		if r.Body == Chunked {
			length = -1
		}
		if want.Method != r.Method || want.RequestURI != r.Target || want.ProtoMinor != r.Minor ||
			want.ContentLength != length || want.Close != r.Close {
			t.Fatalf("parsing %q: got %+v, want what net/http reads: %+v", data[:n], r, want)
		}
		if want.URL.Host == "" && want.Host != r.Host {
			t.Fatalf("parsing %q: got host %q, want that of net/http: %q", data[:n], r.Host, want.Host)
		}
		for name, got := range map[string]string{
			"Authorization": r.Authorization, "Content-Type": r.ContentType,
		} {
			if want.Header.Get(name) != got || len(want.Header[name]) > 1 {
				t.Fatalf("parsing %q: got %s %q, want that of net/http: %q", data[:n], name, got, want.Header[name])
			}
		}
		fields := http.Header{}
		for _, field := range r.Fields {
			fields.Add(field.Name, field.Value)
		}
		for name, values := range want.Header {
			if name != "Pragma" && name != "Cache-Control" && strings.Join(fields[name], "\n") != strings.Join(values, "\n") {
				t.Fatalf("parsing %q: got %s %q, want that of net/http: %q", data[:n], name, fields[name], values)
			}
		}
	})
}

func TestNothingIsAllocatedForAHead(t *testing.T) {
	head := []byte(typicalHead)
	var r Request
	if n := testing.AllocsPerRun(100, func() { _, _ = r.Parse(head, Limits{}) }); n > 0 {
		t.Errorf("parsing a head: got %v allocations, want 0", n)
	}
}

const typicalHead = "GET /v2/keys/conftool/v1/pools/eqiad?recursive=true&quorum=true HTTP/1.1\r\nHost: conf1001.example:4001\r\n" +
	"User-Agent: Go-http-client/1.1\r\nAccept: application/json\r\nAuthorization: Basic Y29uZnRvb2w6Y29uZnRvb2w=\r\nAccept-Encoding: gzip\r\n\r\n"

func BenchmarkRequest(b *testing.B) {
	head := []byte(typicalHead)
	var r Request
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Parse(head, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
