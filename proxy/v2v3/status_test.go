package v2v3

import (
	"testing"

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
