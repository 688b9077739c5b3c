package fronttest

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3"
)

// Etcd is a real etcd: an embedded one or a process.
type Etcd interface {
	URL() string
	Close()
}

// Mortal is an etcd that can be killed and started again with its data.
type Mortal interface {
	Etcd
	Kill()
	Start() error
}

// EachEtcd runs test in each lane, in front of each release of etcd that is at hand and has the API
// of this run. The subtests are named lane/etcd. Each run has an etcd of its own, which starts
// in about 0.3 s and has no keys. It advertises the URL of the proxy to clients, as in
// production. All but the one that is linked in are [Mortal].
func EachEtcd(t *testing.T, test func(t *testing.T, f *Front, e Etcd)) {
	t.Helper()
	EachLane(t, func(t *testing.T, l Lane) {
		for _, release := range proxytest.Releases() {
			if !release.HasV2() && !V3() {
				continue
			}
			t.Run("etcd "+release.Name, func(t *testing.T) {
				ln := Listen(t)
				e, err := startRelease(release, proxytest.Options{Dir: t.TempDir(), Advertise: "https://" + ln.Addr().String(), NoV2: !release.HasV2()})
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
	})
}

func startRelease(r proxytest.Release, o proxytest.Options) (Etcd, error) {
	if r.Program == "" {
		return proxytest.StartEmbedded(o)
	}
	return proxytest.StartProcess(r.Program, o)
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
	return &withURL{e.(*proxytest.Process), "http://" + view(t, strings.TrimPrefix(e.URL(), "http://"))}
}

// withURL is an etcd with another URL.
type withURL struct {
	*proxytest.Process
	url string
}

func (e *withURL) URL() string { return e.url }

// ServeStores makes an empty tree in the v3 store of a cluster, which fronts serve in every run. A front
// at the URL of a member uses the others while that one is away.
func ServeStores(t testing.TB, urls ...string) {
	t.Helper()
	var addresses []string
	for _, url := range urls {
		addresses = append(addresses, strings.TrimPrefix(url, "http://"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := v2v3.Init(ctx, storeOptions(slog.New(slog.DiscardHandler), addresses...), 0); err != nil {
		t.Fatal(err)
	}
	for i, address := range addresses {
		register(t, address, &served{tree: true, others: slices.Concat(addresses[i+1:], addresses[:i])})
	}
}
