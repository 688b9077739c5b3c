package v2v3

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// fixture is a store before an embedded etcd.
type fixture struct {
	*testing.T
	*Store
	etcd *proxytest.Embedded
	// link carries the connections of the store. The options lead to etcd without it.
	link    *proxytest.Link
	options Options
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func startEtcd(t *testing.T) (*proxytest.Embedded, Options) {
	t.Helper()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	return etcd, testOptions(t, etcd.URL())
}

func testOptions(t *testing.T, etcd string) Options {
	return Options{Endpoints: []Endpoint{{Addr: address(t, etcd)}}, Timeout: 10 * time.Second,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

// start starts a store before an etcd with an empty tree, whose index is 100.
func start(t *testing.T, change ...func(*Options)) *fixture {
	t.Helper()
	etcd, o := startEtcd(t)
	for _, c := range change {
		c(&o)
	}
	if err := Init(testContext(t), o, 100); err != nil {
		t.Fatal(err)
	}
	return attach(t, etcd, o)
}

// attach starts a store before an etcd that has a tree.
func attach(t *testing.T, etcd *proxytest.Embedded, o Options) *fixture {
	t.Helper()
	link := newLink(t, o.Endpoints[0].Addr)
	linked := o
	linked.Endpoints = []Endpoint{{Addr: address(t, link.URL())}}
	return &fixture{t, open(t, linked), etcd, link, o}
}

func newLink(t *testing.T, to string) *proxytest.Link {
	t.Helper()
	link, err := proxytest.NewLink(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	return link
}

func address(t *testing.T, of string) string {
	t.Helper()
	at, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	return at.Host
}

// client returns a client of v3 that is not the store's.
func (f *fixture) client() *rpc.Client {
	f.Helper()
	c, err := rpc.New(f.options.Endpoints, "", "")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.Close)
	return c
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for ctx := testContext(t); !holds(); {
		select {
		case <-ctx.Done():
			t.Fatalf("after 30 s it is still not so that %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// open opens a store and waits until it has loaded the tree.
func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the store has a session", func() bool { _, _, ok := s.session.Fence(); return ok })
	return s
}

// parse parses a request: method, path with query.
func parse(t *testing.T, request string) *v2store.Operation {
	t.Helper()
	method, target, _ := strings.Cut(request, " ")
	path, query, _ := strings.Cut(target, "?")
	op, failure := v2store.Parse(&v2store.Request{Method: method, Path: path, Query: query}, time.Now())
	if failure != nil {
		t.Fatalf("%s: %v", request, failure)
	}
	return op
}

// do performs a request, and returns the status, the index and the body of its answer.
func (f *fixture) do(request string) string {
	f.Helper()
	return do(f.T, f.Store, request)
}

func do(t *testing.T, s *Store, request string) string {
	t.Helper()
	a, err := s.Do(testContext(t), parse(t, request))
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	return fmt.Sprintf("%d %d %s", a.Status, a.Index, a.Body)
}

// want performs a request and compares the answer.
func (f *fixture) want(request, answer string) {
	f.Helper()
	if got := strings.TrimSpace(f.do(request)); got != answer {
		f.Errorf("%s:\n got %s\nwant %s", request, got, answer)
	}
}

// indexText returns the index of the tree.
func (f *fixture) indexText() string { return strconv.FormatUint(f.index(), 10) }

// sameTree compares the nodes, the indexes and the histories of two stores.
func sameTree(t *testing.T, a, b *Store) {
	t.Helper()
	for _, s := range []*Store{a, b} {
		if err := s.barrier.wait(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	got, want := strings.Split(dump(b), "\n"), strings.Split(dump(a), "\n")
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Errorf("the stores differ from line %d on:\n got %.2000s\nwant %.2000s", i, got[min(i, len(got)):], want[min(i, len(want)):])
			return
		}
	}
}

// dump returns what the mirror of a store holds. The remaining time of nodes depends on the clock.
func dump(s *Store) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var b strings.Builder
	m := s.m
	fmt.Fprintf(&b, "index %d, log %d %s\n", m.Tree.Index(), m.LogRevision, m.Log)
	dumpNode(&b, m.Tree, "")
	for since := m.Tree.Index() - min(m.Tree.Index(), 1100); since <= m.Tree.Index(); since++ {
		e, failure := m.History.Scan(&v2store.Operation{Recursive: true}, since, m.Tree.Index())
		if failure != nil {
			fmt.Fprintln(&b, since, failure)
		} else if e != nil && e.Index == since {
			fmt.Fprintf(&b, "%d %s", since, e.Body())
		}
	}
	fmt.Fprintln(&b, m.Queues, m.Extras, m.Foreign)
	return b.String()
}

func dumpNode(b *strings.Builder, tree *v2store.Tree, key string) {
	e, _ := tree.Get(&v2store.Operation{Key: key}, time.Unix(0, 0))
	for _, n := range e.Node.Nodes {
		value := ""
		if n.Value != nil {
			value = *n.Value
		}
		fmt.Fprintln(b, n.Key, n.Dir, value, n.Expiration, n.CreatedIndex, n.ModifiedIndex)
		if n.Dir {
			dumpNode(b, tree, n.Key)
		}
	}
}

// watch registers a watch whose events arrive in the channel.
func (f *fixture) watch(request string) (events chan string, lost chan error, stop func()) {
	f.Helper()
	events, lost = make(chan string, 100), make(chan error, 1)
	stop, head, err := f.Watch(parse(f.T, request), func(e *Event) { events <- strings.TrimSpace(string(e.Body)) }, func(err error) { lost <- err })
	if err != nil || head.Failed {
		f.Fatalf("%s: got the head %+v and the error %v", request, head, err)
	}
	return events, lost, stop
}

// next returns the next value from a channel.
func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-testContext(t).Done():
		t.Fatal("nothing arrived in 30 s")
		panic("unreachable")
	}
}
