package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

func TestEtcdsFieldsReachTheClientSpelledAsEtcdSpellsThem(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		a := f.Exchange("GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n")
		for _, name := range []string{"X-Etcd-Index", "X-Raft-Index", "X-Raft-Term", "X-Etcd-Cluster-Id", "Content-Type", "Content-Length", "Date"} {
			if _, ok := a.Field(name); !ok {
				t.Errorf("got the fields %q, want %s among them", a.Lines, name)
			}
		}
		for _, line := range a.Lines {
			if strings.HasPrefix(line, "Access-Control-") {
				t.Errorf("got %s, want no field that allows access by web pages", line)
			}
		}
	})
}

func TestAnswersOfEveryShapeArriveWhole(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		large := strings.Repeat("0123456789", 300_000)
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/v2/keys/length":
				w.Header().Set("Content-Length", "3000000")
				_, _ = io.WriteString(w, large)
			case "/v2/keys/chunks":
				for part := range strings.SplitSeq(large, "9") {
					_, _ = io.WriteString(w, part)
				}
			case "/v2/keys/nothing":
				w.WriteHeader(http.StatusNoContent)
			case "/v2/keys/untyped":
				w.Header()["Content-Type"] = nil
				_, _ = io.WriteString(w, "<html>")
			}
		}), nil)
		for _, proto := range []string{"h1", "h2"} {
			client := f.Client(proto)
			for path, want := range map[string]string{"length": large, "chunks": strings.ReplaceAll(large, "9", ""), "nothing": "", "untyped": "<html>"} {
				_, body, header := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys/"+path, "", "")
				if body != want {
					t.Errorf("%s: reading %s: got %d bytes, want %d", proto, path, len(body), len(want))
				}
				if path == "untyped" && header.Get("Content-Type") != "" {
					t.Errorf("%s: reading an answer without a type: got Content-Type %q, want none", proto, header.Get("Content-Type"))
				}
			}
			status, body, header := fronttest.Do(t, client, "HEAD", f.URL()+"/v2/keys/length", "", "")
			if status != 200 || body != "" || header.Get("Content-Length") != "3000000" {
				t.Errorf("%s: HEAD: got %d %q %v, want 200, no body and Content-Length 3000000", proto, status, body, header)
			}
		}
	})
}

// readTogether reads one key from several clients at a time, which must all get body.
func readTogether(t *testing.T, f *fronttest.Front, body string) {
	t.Helper()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			proto := "h1"
			if i >= 6 {
				proto = "h2"
			}
			client := f.Client(proto)
			defer client.CloseIdleConnections()
			for range 10 {
				if _, got, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys/a", "", ""); got != body {
					t.Errorf("reading a shared answer: got %d bytes that differ, want %d", len(got), len(body))
				}
			}
		})
	}
	all.Wait()
}

func TestLargeAnswersThatAreSharedArriveWhole(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		for _, size := range []int{100, 15_900, 16_100, 73_000, 200_000, 3_000_000} {
			body := strings.Repeat("0123456789", size/10)
			f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }), nil)
			// Reads are shared if they overlap, which is a matter of chance.
			for limit := time.Now().Add(fronttest.Patience); ; {
				readTogether(t, f, body)
				if f.Metrics.SharedReads.Load() > 0 {
					break
				}
				if time.Now().After(limit) {
					t.Fatalf("got no shared read of %d bytes within %v", size, fronttest.Patience)
				}
			}
		}
	})
}
