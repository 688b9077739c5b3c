package fronttest

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
)

// V3 reports whether the fronts of this run serve v3 stores where a real etcd is behind them.
func V3() bool { return os.Getenv("ETCD_TLSPROXY_TEST_API") == "v3" }

// SkipWithV3 skips a test of what only the v2 API has.
func SkipWithV3(t testing.TB, reason string) {
	t.Helper()
	if V3() {
		t.Skip("not with the v3 API: " + reason)
	}
}

// viewed has the etcds whose v3 store is served, by address.
var viewed sync.Map

// register makes the v3 store at an address served, until the test ends. Another server may have
// the address then.
func register(t testing.TB, address string, s *served) {
	viewed.Store(address, s)
	t.Cleanup(func() { viewed.Delete(address) })
}

// served is an etcd whose v3 store is served.
type served struct {
	tree   bool
	others []string // the addresses of the other members

	mu     sync.Mutex
	fronts []*v2v3.Store // the stores of fronts
}

// add adds the store of a front.
func (s *served) add(store *v2v3.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fronts = append(s.fronts, store)
}

// settle waits until the fronts have reached an index. With the v2 API a front is never behind
// the etcd of one member. It does not wait for a front without a connection.
func (s *served) settle(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := time.Now().Add(time.Second)
	for _, store := range s.fronts {
		for time.Now().Before(limit) && store.Status().Index < index {
			time.Sleep(50 * time.Microsecond)
		}
	}
}

// view makes an empty tree in the v3 store of the etcd at an address, and returns an address
// at which it looks like an etcd that has this tree in its v2 API. So a test that reads and
// writes etcd itself is the same with both APIs. Everything else is carried to etcd.
func view(t testing.TB, address string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	o := storeOptions(slog.New(slog.DiscardHandler), address)
	if err := v2v3.Init(ctx, o, 0); err != nil {
		t.Fatal(err)
	}
	o.Linearizable = true
	store := openStore(t, o, true)
	fronts := &served{tree: true}
	etcd := &url.URL{Scheme: "http", Host: address}
	other := httputil.NewSingleHostReverseProxy(etcd)
	other.Transport = &http.Transport{DisableKeepAlives: true}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key, ok := strings.CutPrefix(r.URL.Path, "/v2/keys"); ok {
			serveKey(store, fronts, w, r, key)
		} else {
			other.ServeHTTP(w, r)
		}
	})}
	outer := Listen(t)
	inner := &handed{addr: outer.Addr(), conns: make(chan net.Conn), done: make(chan struct{})}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(inner) })
	running.Go(func() {
		for {
			c, err := outer.Accept()
			if err != nil {
				return
			}
			running.Go(func() { divide(c, address, inner) })
		}
	})
	t.Cleanup(func() {
		outer.Close()
		_ = server.Close()
		inner.Close()
		store.Close()
		running.Wait()
	})
	register(t, outer.Addr().String(), fronts)
	return outer.Addr().String()
}

// serveKey serves one request like etcd.
func serveKey(store *v2v3.Store, fronts *served, w http.ResponseWriter, r *http.Request, key string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	answer := func(a v2store.Answer) {
		fronts.settle(a.Index)
		for _, f := range a.Fields(store.Cluster()) {
			w.Header()[f[0]] = []string{f[1]}
		}
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body)
	}
	op, invalid := v2store.Parse(&v2store.Request{Method: r.Method, Path: key, Query: r.URL.RawQuery, ContentType: r.Header.Get("Content-Type"), Body: string(body)}, time.Now())
	switch {
	case invalid != nil:
		answer(invalid.Answer())
		return
	case op.Action != v2store.Watch:
		a, err := store.Do(r.Context(), op)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer(a)
		return
	}
	events, lost := make(chan *v2v3.Event, 1000), make(chan error, 1)
	stop, head, err := store.Watch(op, func(e *v2v3.Event) { events <- e }, func(err error) { lost <- err })
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer stop()
	answer(head)
	for head.Status == http.StatusOK {
		_ = http.NewResponseController(w).Flush()
		select {
		case e := <-events:
			if _, err := w.Write(e.Body); err != nil || !op.Stream {
				return
			}
		case <-lost:
			panic(http.ErrAbortHandler)
		case <-r.Context().Done():
			return
		}
	}
}
