package v2v3

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
)

// loads sees the loads of a tree, and has the store forget the revision of some of them.
type loads struct {
	f     *fixture
	first []byte // the key with which a load begins
	left  int    // how many loads are still to fail

	mu sync.Mutex
	// revisions are those at which the tree was loaded, and events those of the last event then.
	revisions, events []int64
}

func (l *loads) see(ctx context.Context, method string, direction int, message []byte) error {
	r := new(pb.RangeRequest)
	if direction != proxytest.ToEtcd || method != "/etcdserverpb.KV/Range" || r.Unmarshal(message) != nil || !bytes.Equal(r.Key, l.first) {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revisions = append(l.revisions, r.Revision)
	l.events = append(l.events, l.f.logRevision())
	if l.left == 0 {
		return nil
	}
	l.left--
	return l.forget(ctx)
}

// forget writes, and then compacts what the load wants to read. Some events remain.
func (l *loads) forget(ctx context.Context) error {
	for i := range 3 {
		if _, err := l.f.Do(ctx, parse(l.f.T, fmt.Sprintf("PUT /d/k%d?value=%d", i, l.left))); err != nil {
			return err
		}
		if i > 0 {
			continue
		}
		compact := &pb.CompactionRequest{Revision: l.f.logRevision(), Physical: true}
		if _, err := l.f.Store.client.Compact(ctx, compact); err != nil {
			return err
		}
	}
	return nil
}

// TestALoadThatIsCompactedAwayBeginsAnew forgets the revision at which a store loads the tree. A
// load with the history begins at an older revision than that of the last event.
func TestALoadThatIsCompactedAwayBeginsAnew(t *testing.T) {
	t.Parallel()
	for failures := 1; failures <= maxPastFailures; failures++ {
		f, relay := startRelayed(t)
		f.do("PUT /d/k0?value=0")
		f.do("PUT /d/k1?value=0")
		start, _ := f.keys.Range()
		l := &loads{f: f, first: start, left: failures}
		relay.Set(l.see)
		o := f.options
		o.Endpoints = []Endpoint{{Addr: relay.Addr()}}
		late := open(t, o)
		relay.Set(nil)
		if len(l.revisions) != failures+1 || late.Status().Loads != 1 {
			t.Fatalf("%d failures: the tree was loaded at the revisions %v, and %d of them were used, want one more and the last", failures, l.revisions, late.Status().Loads)
		}
		for i, revision := range l.revisions {
			past := revision < l.events[i]
			if i > 0 && revision <= l.revisions[i-1] || past != (i < maxPastFailures) {
				t.Errorf("%d failures: the tree was loaded at the revisions %v with the last events at %v, want newer ones each time, and %d times the history too",
					failures, l.revisions, l.events, maxPastFailures)
			}
		}
		if got, want := do(t, late, "GET /?recursive=true&sorted=true&quorum=true"), f.do("GET /?recursive=true&sorted=true&quorum=true"); got != want {
			t.Errorf("%d failures: got the tree %s, want %s", failures, got, want)
		}
	}
}

// TestAPageThatIsTooLargeIsReadInParts loads a tree whose first page has more than a response may have.
func TestAPageThatIsTooLargeIsReadInParts(t *testing.T) {
	f := start(t)
	for i := range 12 {
		op := parse(t, fmt.Sprintf("PUT /large/k%02d?value=1", i))
		op.Value = strings.Repeat("x", 400_000)
		if a, err := f.Do(testContext(t), op); err != nil || a.Status != 201 {
			t.Fatalf("got the answer %d and the error %v", a.Status, err)
		}
	}
	want := f.do("GET /?recursive=true&sorted=true")
	f.Store.client.LimitResponses(1 << 20) // of the next connection
	f.mu.RLock()
	rebuilt := f.rebuilt
	f.mu.RUnlock()
	f.reload(f.current(), "the test wants it")
	next(t, rebuilt)
	if got := f.do("GET /?recursive=true&sorted=true"); got != want {
		t.Errorf("got a tree of %d bytes, want %d", len(got), len(want))
	}
	f.right("the load")
}
