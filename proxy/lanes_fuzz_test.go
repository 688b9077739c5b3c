package proxy_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// witness is a stand-in for etcd that records its requests.
type witness struct {
	mu   sync.Mutex
	seen []string
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.mu.Lock()
	text := fmt.Sprintf("%s %s %q %v", r.Method, r.RequestURI, body, err)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		text += fmt.Sprintf(" %s=%q", name, r.Header[name])
	}
	w.seen = append(w.seen, text)
	w.mu.Unlock()
	rw.Header().Set("X-Etcd-Index", "7")
	_, _ = fmt.Fprintf(rw, "%s of %d bytes", r.Method, len(body))
}

// flush returns the requests since the last flush.
func (w *witness) flush() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := strings.Join(w.seen, "\n")
	w.seen = nil
	return text
}

// lastRequest ends a connection if all requests before it were well-formed.
const lastRequest = "GET /v2/keys/last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

// conversation sends bytes on one connection and returns all answers without what may
// differ between lanes: dates, and the framing of an answer.
func conversation(t *testing.T, f *fronttest.Front, config *tls.Config, text []byte) string {
	t.Helper()
	c, err := proxytest.DialRaw(f.Addr, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The proxy may close the connection before everything is sent.
	_ = c.Send(string(text) + lastRequest)
	var all strings.Builder
	for {
		a, err := c.Answer("GET") // an answer to a HEAD would be misread
		if err != nil {
			fmt.Fprintf(&all, "end: %v", !errors.Is(err, io.EOF))
			return all.String()
		}
		if a.Status == 100 {
			continue
		}
		index, _ := a.Field("X-Etcd-Index")
		fmt.Fprintf(&all, "%d %q %s\n", a.Status, a.Body, index)
	}
}

// FuzzLanes checks that both lanes give the same answers to what a client sends, and send
// the same requests to etcd.
func FuzzLanes(f *testing.F) {
	authorization := "Authorization: " + fronttest.Basic("conftool") + "\r\n"
	for _, text := range []string{
		"", "GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /v2/keys//a%41/?x=%zz HTTP/1.1\r\nHost: h\r\nAccept: a\r\nUser-Agent: b\r\n\r\n",
		"PUT /v2/keys/conftool/a HTTP/1.1\r\nHost: h\r\n" + authorization + "Content-Length: 7\r\n\r\nvalue=1DELETE /v2/keys/conftool/a HTTP/1.1\r\nHost: h\r\n" + authorization + "\r\n",
		"PUT /v2/keys/a HTTP/1.1\r\nHost: h\r\n" + authorization + "Content-Length: 7\r\n\r\nvalue=1", "POST /v2/keys/eventlogging HTTP/1.1\r\nHost: h\r\n\r\n",
		"PUT /v2/keys/eventlogging/0/members/1/attributes HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nvalue=1",
		"PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nvalue=1\r\n0\r\n\r\n",
		"PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\nvalue=1",
		"PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 20000),
		"PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 70\r\n\r\nshort",
		"GET /v2/keys/a HTTP/1.0\r\n\r\n", "GET http://x/v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "PATCH /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "GET /v2/keys/a HTTP/1.1\r\n\r\n", "GET /v2/members HTTP/1.1\r\nHost: h\r\n\r\nPOST /v2/members HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /v2/keys/a%zz HTTP/1.1\r\nHost: h\r\n\r\n", "GET /v2/keys/..%2f0 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\n", "GET /v2/keys/" + strings.Repeat("x", 4000) + " HTTP/1.1\r\nHost: h\r\n\r\n",
		"PUT /v2/keys/a HTTP/1.1\r\nHost: h\r\nAuthorization: Basic !!\r\nContent-Length: 0\r\n\r\n", "GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	// Long enough for any machine. A fuzzer mostly makes incomplete requests, so it waits
	// less. It bounds the wait for a next request as well: a body of the input may contain
	// lastRequest, and then neither side ends the connection.
	patience := 2 * time.Second
	if flag.Lookup("test.fuzz").Value.String() != "" {
		patience = 100 * time.Millisecond
	}
	w := &witness{}
	etcd := fronttest.StandIn(f, w.ServeHTTP)
	start := func(l fronttest.Lane) *fronttest.Front {
		return l.FrontWith(f, etcd, idle(patience), func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Reads = nil
			s.Limits.HeaderTimeout, s.Limits.BodyTimeout = patience, patience
		})
	}
	fast, standard := start(fronttest.Fast), start(fronttest.Standard)
	configs := map[*fronttest.Front]*tls.Config{}
	for _, front := range []*fronttest.Front{fast, standard} {
		configs[front] = &tls.Config{RootCAs: front.PKI.Pool(), ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("HEAD")) || bytes.Contains(text, []byte("wait")) {
			return // answers to a HEAD need the requests to be read; a watch does not end
		}
		compare := func() (difference string) {
			w.flush()
			a := conversation(t, fast, configs[fast], text)
			seenFast := w.flush()
			b := conversation(t, standard, configs[standard], text)
			seenStandard := w.flush()
			if a == b && seenFast == seenStandard {
				return ""
			}
			return fmt.Sprintf("%q\nfast lane:\n%s\netcd saw\n%s\nstandard lane:\n%s\netcd saw\n%s", text, a, seenFast, b, seenStandard)
		}
		// A busy machine can be slower than the fuzzer's patience, but not each time.
		difference := compare()
		for range 5 {
			if difference == "" {
				return
			}
			difference = compare()
		}
		t.Error(difference)
	})
}
