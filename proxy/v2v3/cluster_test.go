package v2v3

import (
	"os"
	"path/filepath"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// startCluster starts members on loopback. Their addresses stay when they are started again.
func startCluster(t *testing.T, dir string, n int) *proxytest.Cluster {
	t.Helper()
	c, err := proxytest.NewCluster(proxytest.ClusterOptions{Dir: dir, Advertise: make([]string, n)})
	t.Cleanup(c.Close)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAWatchOutlivesTheLossOfTheQuorum stops two of three members: the third one has no leader and
// ends watches. Plain reads go on meanwhile.
func TestAWatchOutlivesTheLossOfTheQuorum(t *testing.T) {
	c := startCluster(t, t.TempDir(), 3)
	o := testOptions(t, c.Members[0].URL())
	if err := Init(testContext(t), o, 100); err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, Store: open(t, o), options: o}
	f.do("PUT /a?value=1")
	events, lost, _ := f.watch("GET /a?wait=true&stream=true")
	c.Members[1].Close()
	c.Members[2].Close()
	eventually(t, "the watch at etcd has ended", f.isLost)
	f.do("GET /a")
	// The members wait for each other.
	started := make(chan error, 2)
	for _, m := range c.Members[1:] {
		go func() { started <- m.Start() }()
	}
	for range 2 {
		if err := next(t, started); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the events are followed again", func() bool { return !f.isLost() })
	f.do("PUT /a?value=2")
	next(t, events)
	if len(lost) > 0 {
		t.Errorf("the watch is lost: %v", <-lost)
	}
}

// isLost reports whether the store has no stream of events.
func (f *fixture) isLost() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return !f.lost.IsZero()
}

// TestARestoredStoreIsNoticed replaces the data of etcd by an older copy, which keeps the id of the
// cluster. Once the mirror is ahead of the store; and once the store has caught up with other events.
func TestARestoredStoreIsNoticed(t *testing.T) {
	for _, writes := range []int{0, 10} {
		dir := t.TempDir()
		c := startCluster(t, dir, 1)
		o := testOptions(t, c.Members[0].URL())
		if err := Init(testContext(t), o, 100); err != nil {
			t.Fatal(err)
		}
		link := newLink(t, o.Endpoints[0].Addr)
		linked := o
		linked.Endpoints = []Endpoint{{Addr: address(t, link.URL())}}
		f := &fixture{T: t, Store: open(t, linked), link: link, options: o}
		f.do("PUT /a?value=1")
		_, lost, _ := f.watch("GET /b?wait=true")
		f.away()
		c.Members[0].Close()
		backup := t.TempDir()
		if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := c.Members[0].Start(); err != nil {
			t.Fatal(err)
		}
		f.back()
		for range 3 {
			f.do("PUT /a?value=new")
		}
		if len(lost) > 0 {
			t.Fatalf("the watch was lost while etcd was restarted: %v", <-lost)
		}
		f.away()
		c.Members[0].Close()
		if err := os.RemoveAll(filepath.Join(dir, c.Members[0].Name())); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(backup)); err != nil {
			t.Fatal(err)
		}
		if err := c.Members[0].Start(); err != nil {
			t.Fatal(err)
		}
		other := open(t, o)
		for range writes {
			do(t, other, "PUT /a?value=other")
		}
		f.link.Mend()
		next(t, lost)
		if err := f.Ready(testContext(t)); err != nil {
			t.Fatal(err)
		}
		sameTree(t, other, f.Store)
		other.Close()
		f.Close()
	}
}
