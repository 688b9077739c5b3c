package fronttest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/proxytest"
)

// Etcd is a real etcd: an embedded one or a process.
type Etcd interface {
	URL() string
	Close()
}

// EachEtcd runs test in each lane, in front of each kind of real etcd that is available. The
// subtests are named lane/etcd. Each run has an etcd of its own, which starts in about 0.3 s
// and has no keys. It advertises the URL of the proxy to clients, as in production.
func EachEtcd(t *testing.T, test func(t *testing.T, f *Front, e Etcd)) {
	t.Helper()
	path, version, installed := proxytest.FindEtcd()
	if !installed {
		t.Log("etcd 3.4 or 3.5 is not installed; only the embedded etcd was tried")
	}
	EachLane(t, func(t *testing.T, l Lane) {
		run := func(name string, start func(o proxytest.Options) (Etcd, error)) {
			t.Run(name, func(t *testing.T) {
				ln := Listen(t)
				e, err := start(proxytest.Options{Dir: t.TempDir(), Advertise: "https://" + ln.Addr().String()})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(e.Close) // after the proxy has drained
				if V3() {
					e = withView(t, e)
				}
				test(t, l.serve(t, ln, e.URL(), nil, nil), e)
			})
		}
		run("etcd 3.5", func(o proxytest.Options) (Etcd, error) { return proxytest.StartEmbedded(o) })
		if installed {
			run(fmt.Sprintf("installed etcd %s", version), func(o proxytest.Options) (Etcd, error) { return proxytest.StartProcess(path, o) })
		}
	})
}

// Embedded starts a proxy in front of an embedded etcd, for tests that do not depend on
// the version of etcd.
func (l Lane) Embedded(t testing.TB, change Change) (*Front, *proxytest.Embedded) {
	t.Helper()
	return l.EmbeddedWith(t, nil, change)
}

// EmbeddedWith is like [Lane.Embedded], with options that prepare alters.
func (l Lane) EmbeddedWith(t testing.TB, prepare func(*proxy.Options), change Change) (*Front, *proxytest.Embedded) {
	t.Helper()
	e := Start(t)
	return l.FrontWith(t, e.URL(), prepare, change), e
}

// Start starts an embedded etcd for fronts.
func Start(t testing.TB) *proxytest.Embedded {
	t.Helper()
	e := start(t)
	if V3() {
		withView(t, e)
	}
	return e
}

// StartStore starts an embedded etcd for fronts that serve its v3 store in every run.
func StartStore(t testing.TB) *proxytest.Embedded {
	t.Helper()
	e := start(t)
	withView(t, e)
	return e
}

// StartEmpty starts an embedded etcd whose v3 store has no tree, for fronts that serve it in
// every run.
func StartEmpty(t testing.TB) *proxytest.Embedded {
	t.Helper()
	e := start(t)
	register(t, strings.TrimPrefix(e.URL(), "http://"), &served{})
	return e
}

func start(t testing.TB) *proxytest.Embedded {
	t.Helper()
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// withView makes an etcd one with a view.
func withView(t testing.TB, e Etcd) Etcd {
	t.Helper()
	if e, ok := e.(*proxytest.Embedded); ok {
		near := strings.TrimPrefix(e.URL(), "http://")
		address := view(t, e.Target())
		e.Retarget(address)
		http.DefaultClient.CloseIdleConnections()
		fronts, _ := viewed.Load(address)
		register(t, near, fronts.(*served))
		return e
	}
	return &withURL{e, "http://" + view(t, strings.TrimPrefix(e.URL(), "http://"))}
}

// withURL is an etcd with another URL.
type withURL struct {
	Etcd
	url string
}

func (e *withURL) URL() string { return e.url }
