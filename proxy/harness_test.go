package proxy

import (
	"context"
	"crypto/tls"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// front is a proxy that serves, before an etcd or anything that takes its place.
type front struct {
	t       testing.TB
	addr    string
	server  *Server
	pki     *proxytest.PKI
	metrics *observe.Metrics
	audit   *lines
	access  *lines
	log     *lines
	served  chan error
}

func (f *front) url() string { return "https://" + f.addr }

// lingerInTests is short, because tests wait until nothing is left.
const lingerInTests = 50 * time.Millisecond

// lines is a log that a test reads while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// newFront serves on ln, before the etcd at endpoint; change alters the first
// snapshot.
func newFront(t testing.TB, ln net.Listener, endpoint string, change func(*lane.Snapshot, *proxytest.PKI)) *front {
	t.Helper()
	return newPreparedFront(t, ln, endpoint, nil, change)
}

// newPreparedFront is newFront with a server that is altered before it serves.
func newPreparedFront(t testing.TB, ln net.Listener, endpoint string, prepare func(*Options), change func(*lane.Snapshot, *proxytest.PKI)) *front {
	t.Helper()
	f := &front{t: t, addr: ln.Addr().String(), audit: &lines{}, access: &lines{}, log: &lines{}, metrics: observe.NewMetrics("test"), served: make(chan error, 1)}
	var err error
	if f.pki, err = proxytest.NewPKI(); err != nil {
		t.Fatal(err)
	}
	snapshot := f.snapshot(endpoint, change)
	o := Options{
		RawSockets:     true,
		Snapshot:       snapshot,
		Observer:       observe.New(f.metrics, &observe.Records{Access: f.access, Audit: slog.New(slog.NewJSONHandler(f.audit, nil))}),
		Log:            slog.New(slog.NewTextHandler(f.log, nil)),
		Throttle:       acl.NewThrottle(acl.ThrottleOptions{Burst: 1000}),
		MaxConnections: 10_000, MaxAddressConnections: 10_000, MaxAddressHandshakes: 100_000, MaxWatches: 10_000, MaxUserWatches: 10_000, MaxBodyMemory: 64 << 20, HandshakeTimeout: 10 * time.Second, IdleTimeout: time.Hour,
	}
	if prepare != nil {
		prepare(&o)
	}
	f.server = NewServer(o)
	go func() { f.served <- f.server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := f.server.Drain(ctx); err != nil {
			t.Errorf("draining: %v", err)
		}
		f.server.Snapshot().Upstream.Close()
		if err := <-f.served; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return f
}

// snapshot is the seed's table and users root, conftool and alice, whose
// passwords are their names with "-pw".
func (f *front) snapshot(endpoint string, change func(*lane.Snapshot, *proxytest.PKI)) *lane.Snapshot {
	f.t.Helper()
	var s *lane.Snapshot
	_, s = newTestGate(f.t, nil)
	s.Limits.HeaderTimeout = 5 * time.Second
	cert, key, err := f.pki.Server("localhost", "127.0.0.1")
	if err != nil {
		f.t.Fatal(err)
	}
	s.Certs = f.generation(certs.Options{Certificate: certs.PEM{File: "cert", Data: cert}, Key: certs.PEM{File: "key", Data: key}})
	at, err := upstream.ParseEndpoint(endpoint)
	if err != nil {
		f.t.Fatal(err)
	}
	if s.Upstream, err = upstream.New(upstream.Options{RawSockets: true, Endpoints: []upstream.Endpoint{at}, Counters: f.metrics.Upstream}); err != nil {
		f.t.Fatal(err)
	}
	s.FastLane = os.Getenv(laneVariable) != "standard"
	s.Reads = share.NewReads(s.Upstream, &f.metrics.SharedReads)
	s.Watches = share.NewWatches(share.WatchOptions{Pool: s.Upstream, Counters: f.metrics.Watches, Linger: lingerInTests})
	if change != nil {
		change(s, f.pki)
	}
	return s
}

func (f *front) generation(o certs.Options) *certs.Generation {
	f.t.Helper()
	o.NextProtos = NextProtos()
	g, err := certs.New(o)
	if err != nil {
		f.t.Fatal(err)
	}
	return g
}

// laneVariable names the lane that the tests are run in: the fast one, unless it
// is "standard".
const laneVariable = "ETCD_TLSPROXY_TEST_LANE"

// onlyFast is for tests that the standard lane has nothing to do with.
func onlyFast(t *testing.T, why string) {
	t.Helper()
	if os.Getenv(laneVariable) == "standard" {
		t.Skip(why)
	}
}

// TestAllTestsPassInTheStandardLane runs this package's tests again.
func TestAllTestsPassInTheStandardLane(t *testing.T) {
	onlyFast(t, "this is the run in the standard lane")
	args := []string{"-test.timeout=15m"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), laneVariable+"=standard")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// client is an ordinary HTTP client that trusts the proxy; proto is "h1" or "h2".
func (f *front) client(proto string, certificates ...tls.Certificate) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: f.pki.Pool(), Certificates: certificates},
		ForceAttemptHTTP2: proto == "h2",
	}
	f.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// raw is a client that sends bytes.
func (f *front) raw() *proxytest.Raw {
	f.t.Helper()
	c, err := proxytest.DialRaw(f.addr, &tls.Config{RootCAs: f.pki.Pool(), ServerName: "localhost"})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// exchange sends one request as bytes and reads its answer.
func (f *front) exchange(text string) *proxytest.Answer {
	f.t.Helper()
	c := f.raw()
	if err := c.Send(text); err != nil {
		f.t.Fatalf("%.60q: %v", text, err)
	}
	method, _, _ := strings.Cut(text, " ")
	a, err := c.Answer(method)
	if err != nil {
		f.t.Fatalf("%.60q: %v", text, err)
	}
	return a
}

// do makes a request with a form body, "" for none, and returns status and body.
func do(t testing.TB, client *http.Client, method, url, user, form string) (int, string, http.Header) {
	t.Helper()
	var body io.Reader
	if form != "" {
		body = strings.NewReader(form)
	}
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if user != "" {
		req.SetBasicAuth(user, user+"-pw")
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: reading: %v", method, url, err)
	}
	return resp.StatusCode, string(data), resp.Header
}

// etcd is a real one, of either kind.
type etcd interface {
	URL() string
	Close()
}

// withEtcd runs a test before each real etcd there is. The etcd tells clients
// that it is reached at the proxy, as in production.
func withEtcd(t *testing.T, test func(t *testing.T, f *front, e etcd)) {
	t.Helper()
	run := func(name string, start func(o proxytest.Options) (etcd, error)) {
		t.Run(name, func(t *testing.T) {
			ln := listen(t)
			e, err := start(proxytest.Options{Dir: t.TempDir(), Advertise: "https://" + ln.Addr().String()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(e.Close) // after the proxy has drained
			test(t, newFront(t, ln, e.URL(), nil), e)
		})
	}
	run("etcd 3.5", func(o proxytest.Options) (etcd, error) { return proxytest.StartEmbedded(o) })
	path, version, ok := proxytest.FindEtcd()
	if !ok {
		t.Log("no etcd 3.4 or 3.5 is installed; only the embedded one was tried")
		return
	}
	run(fmt.Sprintf("installed etcd %s", version), func(o proxytest.Options) (etcd, error) { return proxytest.StartProcess(path, o) })
}

// idle bounds the silence of connections.
func idle(d time.Duration) func(*Options) {
	return func(o *Options) { o.IdleTimeout = d }
}

// newEmbedded is a front before an embedded etcd, for tests that do not depend
// on its version.
func newEmbedded(t testing.TB, change func(*lane.Snapshot, *proxytest.PKI)) (*front, *proxytest.Embedded) {
	t.Helper()
	return newPreparedEmbedded(t, nil, change)
}

// newPreparedEmbedded is newEmbedded with a server that is altered before it serves.
func newPreparedEmbedded(t testing.TB, prepare func(*Options), change func(*lane.Snapshot, *proxytest.PKI)) (*front, *proxytest.Embedded) {
	t.Helper()
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return newPreparedFront(t, listen(t), e.URL(), prepare, change), e
}

// eventually waits for a state that nothing signals.
func eventually(t testing.TB, what string, reached func() bool) {
	t.Helper()
	limit := time.Now().Add(30 * time.Second)
	for !reached() {
		if time.Now().After(limit) {
			t.Fatalf("it never came to this: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
