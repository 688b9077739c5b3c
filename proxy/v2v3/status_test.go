package v2v3

import (
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

func TestTheStatusTellsWhetherTheStoreServes(t *testing.T) {
	f := start(t)
	f.do("PUT /d/a?value=1")
	f.do("PUT /d/a?prevExist=true&value=12345")
	_, _, stop := f.watch("GET /d/a?wait=true")
	got := f.Status()
	if !got.Serving || got.Reason != "" || got.Behind != 0 || !got.Session || got.Nodes != 2 || got.Watches != 1 || got.Index != f.index() ||
		got.Revision != f.applied.Load() || got.Loads != 1 || got.Bytes < 500 || got.Endpoint != address(t, f.link.URL()) {
		t.Errorf("got %+v", got)
	}
	stop()
	f.right("the writes")
	f.away()
	f.mu.Lock()
	f.lost = f.lost.Add(-maxStale)
	f.mu.Unlock()
	got = f.Status()
	if got.Serving || got.Reason == "" || got.Behind < maxStale.Seconds() || got.Watches != 0 || got.Audits != 1 || got.Differences != 0 || got.LastAudit.IsZero() {
		t.Errorf("without etcd: got %+v", got)
	}
}

func TestAStoreThatHasNotLoadedHasAStatus(t *testing.T) {
	_, o := startEtcd(t)
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Status(); got.Serving || got.Reason == "" || got.Nodes != 0 {
		t.Errorf("got %+v", got)
	}
	if _, _, err := s.Watch(&v2store.Operation{Action: v2store.Watch}, func(*Event) {}, func(error) {}); err == nil {
		t.Error("a watch was registered")
	}
}

// TestTheStatusTellsWhoKeeps asks the keeper and another proxy, while a node is due and when it has expired.
func TestTheStatusTellsWhoKeeps(t *testing.T) {
	t.Parallel()
	var offset atomic.Int64
	f := start(t, func(o *Options) { o.Host = "conf1001" })
	keepsSoon(t, f.Store)
	o := f.options
	o.Host = "conf1002"
	skewed(&offset)(&o)
	other := open(t, o)
	f.do("PUT /a?value=1&ttl=1000")
	f.do("GET /a?quorum=true")
	f.do("PUT /none?prevExist=true&value=1")
	if err := other.fresh(testContext(t)); err != nil {
		t.Fatal(err)
	}
	began := time.Now().Add(-time.Minute)
	for _, s := range []*Store{f.Store, other} {
		got := s.Status()
		if got.KeeperName != "conf1001" || got.KeeperSince.Before(began) || got.KeeperSince.After(time.Now()) || !got.NoKeeperSince.IsZero() || got.Late != 0 || got.BehindRevisions != 0 {
			t.Errorf("got the status %+v, want that conf1001 keeps, and nothing is late", got)
		}
	}
	if got := f.Status(); got.BarrierWaits != 2 || got.BarrierReads != 2 || got.BarrierSeconds <= 0 {
		t.Errorf("after a quorum read and a refusal: got %d waits of %v s and %d reads, want 2 and 2", got.BarrierWaits, got.BarrierSeconds, got.BarrierReads)
	}
	offset.Store(int64(1100 * time.Second)) // this proxy is not the keeper
	if got := other.Status(); got.Late < 99 || got.Late > 101+time.Since(began).Seconds() {
		t.Errorf("at a node that is due since 100 s: got the status %+v", got)
	}
	offset.Store(0)
	f.do("PUT /a?value=1&ttl=0")
	eventually(t, "the node has expired", func() bool { return f.Status().Expired == 1 })
	if got := other.Status(); got.Expired != 0 || got.Keeper {
		t.Errorf("a proxy that is not the keeper: got the status %+v", got)
	}
}
