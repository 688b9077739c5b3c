package fronttest

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3"
)

// Front is a proxy that serves on loopback.
type Front struct {
	Addr    string // host and port
	Server  *proxy.Server
	Metrics *observe.Metrics
	PKI     *proxytest.PKI // issued the server's certificate
	// Audit, Access and Log are what the proxy has logged.
	Audit, Access, Log *Log

	t       testing.TB
	lane    Lane
	records *observe.Records
	served  chan error
	stores  map[string]*v2v3.Store // by address
}

// Records returns the logs of requests.
func (f *Front) Records() *observe.Records { return f.records }

// Change alters the first snapshot of a front before it serves.
type Change func(*lane.Snapshot, *proxytest.PKI)

// Listen returns a listener on a free port of loopback.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// Front starts a proxy in front of the etcd at endpoint. It is drained when the test
// ends, and the test fails if that takes too long. A nil change changes nothing.
func (l Lane) Front(t testing.TB, endpoint string, change Change) *Front {
	t.Helper()
	return l.serve(t, Listen(t), endpoint, nil, change)
}

// FrontWith is like [Lane.Front], with options that prepare alters.
func (l Lane) FrontWith(t testing.TB, endpoint string, prepare func(*proxy.Options), change Change) *Front {
	t.Helper()
	return l.serve(t, Listen(t), endpoint, prepare, change)
}

func (l Lane) serve(t testing.TB, ln net.Listener, endpoint string, prepare func(*proxy.Options), change Change) *Front {
	t.Helper()
	f := l.New(t, endpoint, prepare, change)
	f.Serve(ln)
	return f
}

// New makes a proxy like [Lane.FrontWith], which serves nothing until [Front.Serve].
func (l Lane) New(t testing.TB, endpoint string, prepare func(*proxy.Options), change Change) *Front {
	t.Helper()
	f := &Front{
		Metrics: observe.NewMetrics("test"), Audit: &Log{}, Access: &Log{}, Log: &Log{},
		t: t, lane: l, served: make(chan error, 1),
	}
	var err error
	if f.PKI, err = proxytest.NewPKI(); err != nil {
		t.Fatal(err)
	}
	f.records = observe.NewRecords(observe.RecordOptions{Access: f.Access, Audit: f.Audit})
	o := proxy.Options{
		RawSockets: true,
		Snapshot:   f.Snapshot(endpoint, change),
		Observer:   observe.New(f.Metrics, f.records),
		Log:        slog.New(slog.NewTextHandler(f.Log, nil)),
		Throttle:   acl.NewThrottle(acl.ThrottleOptions{Burst: 1000}),
		// No limit is reached unless a test lowers it.
		MaxConnections: 10_000,
		MaxWatches:     10_000, MaxUserWatches: 10_000, MaxBodyMemory: 64 << 20,
		HandshakeTimeout: 10 * time.Second, IdleTimeout: time.Hour,
		ProbeEvery: 24 * time.Hour, // etcd receives what the test sends, and nothing else
	}
	if prepare != nil {
		prepare(&o)
	}
	f.Server = proxy.NewServer(o)
	return f
}

// Serve starts to serve on ln. The proxy is drained when the test ends.
func (f *Front) Serve(ln net.Listener) {
	f.Addr = ln.Addr().String()
	go func() { f.served <- f.Server.Serve(ln) }()
	f.t.Cleanup(f.drain)
}

func (f *Front) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := f.Server.Drain(ctx); err != nil {
		f.t.Errorf("draining the proxy: %v", err)
	}
	f.Server.Snapshot().Upstream.Close()
	for _, store := range f.stores {
		store.Close()
	}
	if err := <-f.served; err != nil {
		f.t.Errorf("serving: %v", err)
	}
}

// URL returns the base URL of the proxy.
func (f *Front) URL() string { return "https://" + f.Addr }
