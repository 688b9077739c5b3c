package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// server is an HTTPS server that counts what it answers.
func server(t *testing.T, handle http.HandlerFunc) (address string, ca []byte) {
	t.Helper()
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handle)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), pki.CA()
}

// generate runs a load and returns its result.
func generate(t *testing.T, l *load) result {
	t.Helper()
	var out bytes.Buffer
	if err := l.run(bufio.NewReader(strings.NewReader("go\n")), &out); err != nil {
		t.Fatal(err)
	}
	ready, figures, _ := strings.Cut(out.String(), "\n")
	var r result
	if err := json.Unmarshal([]byte(figures), &r); err != nil || ready != "ready" {
		t.Fatalf("%s: %v", out.String(), err)
	}
	return r
}

func TestTheGeneratorCountsWhatTheServerCounts(t *testing.T) {
	var answered atomic.Int64
	address, ca := server(t, func(w http.ResponseWriter, r *http.Request) {
		answered.Add(1)
		if r.URL.Path == "/chunks" {
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = w.Write(bytes.Repeat([]byte("x"), 10_000))
	})
	for _, l := range []*load{
		{Conns: 3, Requests: [][]byte{getRequest("/length"), getRequest("/chunks")}},
		{Conns: 3, Requests: [][]byte{getRequest("/length")}, Rate: 500},
		{Conns: 2, Requests: [][]byte{getRequest("/length")}, Handshake: "full"},
		{Conns: 2, Requests: [][]byte{getRequest("/length")}, Handshake: "resumed"},
	} {
		l.Address, l.CA, l.Status, l.Duration = address, ca, 200, 100*time.Millisecond
		answered.Store(0)
		r := generate(t, l)
		if r.Errors != 0 || r.Requests == 0 || answered.Load() != r.Requests+int64(l.Conns) { // one each to warm up
			t.Errorf("%+v: the server answered %d", r, answered.Load())
		}
		if r.P50 <= 0 || r.P99 < r.P50 || r.P999 < r.P99 {
			t.Errorf("latencies %+v", r)
		}
	}
}

func TestAWrongStatusIsAnError(t *testing.T) {
	var asked atomic.Int64
	address, ca := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > 2 {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	r := generate(t, &load{Address: address, CA: ca, Status: 200, Conns: 2, Requests: [][]byte{getRequest("/")}, Duration: 50 * time.Millisecond})
	if r.Requests != 0 || r.Errors == 0 || r.FirstError != "status 418" {
		t.Errorf("%+v", r)
	}
}

func TestTheNullUpstreamAnswersWhatProxiesSend(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go serveNull(c)
		}
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for _, text := range []string{string(getRequest("/a")), string(putRequest("/a")), "GET / HTTP/1.0\r\n\r\n"} {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ Action string }
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || body.Action != "get" || resp.Close != strings.Contains(text, "1.0") {
			t.Errorf("%q: %+v, %v", text, resp, err)
		}
	}
}

func TestCPUTimeOfAFamilyIsSeen(t *testing.T) {
	p, err := start(os.Stderr, "sh", "-c", "i=0; while :; do i=$((i+1)); done")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	for limit := time.Now().Add(10 * time.Second); p.cpu() < 3*clockTick; {
		if time.Now().After(limit) {
			t.Fatal("a busy process uses no time")
		}
	}
}

func TestReports(t *testing.T) {
	o := &comparison{Name: "n", What: "w", Figure: "rate", Order: []string{"ours", "tuned"}, Samples: map[string][]*sample{
		"ours": {{Rate: 300}, {Rate: 100}, {Rate: 200}}, "tuned": {{Rate: 100, Errors: 2, FirstError: "status 500"}},
	}, Notes: []string{"haproxy is left out: it is not installed"}}
	if got := o.ratio("tuned"); got != 2 {
		t.Errorf("ratio %v", got)
	}
	var text bytes.Buffer
	o.print(&text)
	for _, want := range []string{"200", "2.00", "2 (status 500)", "haproxy is left out"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := writeHTML(path, []*comparison{o}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(page), "200 requests/s") || !strings.Contains(string(page), `width="400.0"`) {
		t.Errorf("%v\n%s", err, page)
	}
}

func TestAnOpenLoopThatFallsBehindEnds(t *testing.T) {
	address, ca := server(t, func(http.ResponseWriter, *http.Request) {})
	l := &load{Address: address, CA: ca, Status: 200, Conns: 1, Requests: [][]byte{getRequest("/")}, Rate: 10_000_000, Duration: time.Second}
	began := time.Now().Add(-l.Duration - 2*maxLag) // as if it had been stuck
	w := &worker{load: l, created: time.Now(), latency: newHistogram()}
	var first atomic.Pointer[string]
	w.work(began, &first)
	if w.done != 0 || w.failed != 1 || *first.Load() != errBehind.Error() {
		t.Errorf("%d done, %d failed, %v", w.done, w.failed, first.Load())
	}
}

func TestAServerWithoutSessionsFailsResumption(t *testing.T) {
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true}
	s.StartTLS()
	t.Cleanup(s.Close)
	r := generate(t, &load{Address: s.Listener.Addr().String(), CA: pki.CA(), Status: 200, Conns: 1, Requests: [][]byte{getRequest("/")},
		Handshake: "resumed", Duration: 50 * time.Millisecond})
	if r.Requests != 0 || r.Errors == 0 || !strings.Contains(r.FirstError, "resumed is false") {
		t.Errorf("%+v", r)
	}
}

// TestABriefRun measures one scenario with whatever proxies are installed.
func TestABriefRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and starts all proxies")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "bench")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program, "--rounds", "2", "--duration", "200ms", "--scenarios", "get-500-keys,put-null,idle-memory", "--json", filepath.Join(dir, "out.json")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "out.json"))
	if err != nil {
		t.Fatal(err)
	}
	var comparisons []*comparison
	if err := json.Unmarshal(data, &comparisons); err != nil || len(comparisons) != 3 {
		t.Fatalf("%v\n%s", err, data)
	}
	for _, o := range comparisons {
		for name, samples := range o.Samples {
			for _, m := range samples {
				// A round that finds no memory has measured an old process.
				if idle := o.Figure == "memory"; m.Errors > 0 || !idle && m.Rate <= 0 || idle && m.Memory < 1000 {
					t.Errorf("%s, %s: %+v", o.Name, name, m)
				}
			}
		}
	}
}
