package v2v3

import (
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
	t.Parallel()
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
