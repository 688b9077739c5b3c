package presence

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

func TestAFenceRaisesTheRevisionOfTheKey(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := p.keep()
	name, compared, _ := n.Fence()
	before := time.Now().UnixNano()
	fence, err := n.FenceOff(testContext(t), name, compared)
	kv := p.get(p.Keys.Session(name))
	if err != nil || fence <= compared || kv.ModRevision != fence || kv.Lease == 0 {
		t.Errorf("got a fence at %d, %v and the key %v, want one behind %d, and the lease", fence, err, kv, compared)
	}
	if value, err := layout.DecodePresence(kv.Value); err != nil || value.Time < before || value.Host != "conf1001" || value.Session != "" {
		t.Errorf("got the value %+v, %v, want the time of the fence, and the machine", value, err)
	}
	if _, revision, _ := n.Fence(); revision != fence || !p.saw(fence) {
		t.Errorf("new writes compare the revision %d and the host was told %v, want %d", revision, p.seen, fence)
	}
	// Writes that compare an older revision need no other fence.
	p.etcd.Cut()
	defer p.etcd.Mend()
	if again, err := n.FenceOff(testContext(t), name, compared); again != fence || err != nil {
		t.Errorf("a second fence: got %d, %v, want that at %d", again, err, fence)
	}
	if got := n.Fences(); got != 1 {
		t.Errorf("got %d attempts, want 1", got)
	}
}

func TestAFenceAgainstAnEarlierSessionIsNotThatOfTheNextOne(t *testing.T) {
	t.Parallel()
	p := begin(t)
	early := p.put(string(p.Keys.Session("early")), "{}", p.grant(60))
	n := p.keep() // the key of this session has a revision behind the one that is compared
	name, own, _ := n.Fence()
	fence, err := n.FenceOff(testContext(t), "early", early)
	if err != nil || fence <= early || p.get(p.Keys.Session("early")).ModRevision != fence {
		t.Errorf("got a fence at %d, %v, want the revision of the key of that session", fence, err)
	}
	if next, revision, _ := n.Fence(); next != name || revision != own {
		t.Errorf("the session is %q at %d, want still %q at %d", next, revision, name, own)
	}
}

// TestASessionThatIsOverNeedsNoFence has no key, and returns the revision of the last event.
func TestASessionThatIsOverNeedsNoFence(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := p.keep()
	name, compared, _ := n.Fence()
	p.revokeLease(p.get(p.Keys.Session(name)).Lease)
	p.put("p.v2/other", "1", 0) // is no event
	last := p.get(p.Keys.Log()).ModRevision
	fence, err := n.FenceOff(testContext(t), name, compared)
	if err != nil || fence != last || !p.saw(last) {
		t.Errorf("got a fence at %d, %v, and the host was told %v, want the last event at %d", fence, err, p.seen, last)
	}
	if still, _, _ := n.Fence(); still == name {
		t.Error("new writes use the session, want that its end is known")
	}
	if kv := p.get(p.Keys.Session(name)); kv != nil {
		t.Errorf("got the key %v, want that it does not come back", kv)
	}
	eventually(t, "another session has begun", func() bool { next, _, ok := n.Fence(); return ok && next != name })
}

func TestWithoutALogNoSessionIsKnownToBeOver(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := p.keep()
	if _, err := p.Client.Txn(testContext(t), &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{
		RequestDeleteRange: &pb.DeleteRangeRequest{Key: p.Keys.Log()}}}}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
	defer cancel()
	if fence, err := n.FenceOff(ctx, "gone", 1); err == nil || fence != 0 {
		t.Errorf("got a fence at %d, %v, want an error", fence, err)
	}
}

// TestWritesShareAFence lets several writes wait for etcd.
func TestWritesShareAFence(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := p.keep()
	name, compared, _ := n.Fence()
	version := p.get(p.Keys.Session(name)).Version
	p.etcd.Pause()
	defer p.etcd.Resume()
	const writes = 5
	fences := make(chan int64, writes)
	var running sync.WaitGroup
	for range writes {
		running.Go(func() {
			fence, err := n.FenceOff(testContext(t), name, compared)
			if err != nil {
				t.Error(err)
			}
			fences <- fence
		})
	}
	eventually(t, "a fence is under way", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(n.fences) == 1 })
	p.etcd.Resume()
	running.Wait()
	kv := p.get(p.Keys.Session(name))
	for range writes {
		if got := <-fences; got != kv.ModRevision {
			t.Errorf("got a fence at %d, want %d for all", got, kv.ModRevision)
		}
	}
	if kv.Version != version+1 || len(n.fences) != 0 {
		t.Errorf("the key was put %d times and %d fences are left, want once and none", kv.Version-version, len(n.fences))
	}
}

// TestAFenceThatBeganBeforeTheWriteIsNotEnough has a fence under way at the revision that the write
// compares.
func TestAFenceThatBeganBeforeTheWriteIsNotEnough(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := p.keep()
	name, compared, _ := n.Fence()
	early := &fencing{done: make(chan struct{}), revision: compared}
	n.mu.Lock()
	n.fences[name] = early
	n.mu.Unlock()
	fences := make(chan int64, 1)
	go func() {
		fence, err := n.FenceOff(testContext(t), name, compared)
		if err != nil {
			t.Error(err)
		}
		fences <- fence
	}()
	n.mu.Lock()
	delete(n.fences, name)
	n.mu.Unlock()
	close(early.done)
	if got := <-fences; got <= compared {
		t.Errorf("got a fence at %d, want one behind %d", got, compared)
	}
}

func TestAFenceThatIsNotConfirmedInTimeIsAnError(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := p.keep()
	name, compared, _ := n.Fence()
	p.etcd.Pause()
	defer p.etcd.Resume()
	var running sync.WaitGroup
	for range 2 { // one who puts the fence and one who waits for it
		running.Go(func() {
			ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
			defer cancel()
			if fence, err := n.FenceOff(ctx, name, compared); fence != 0 || !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "the fence was not confirmed: ") {
				t.Errorf("got a fence at %d, %v, want that the time is over", fence, err)
			}
		})
	}
	running.Wait()
}

// TestAFenceIsTriedAgainElsewhere holds up the first attempt until it is given up.
func TestAFenceIsTriedAgainElsewhere(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := p.keep()
	name, compared, _ := n.Fence()
	p.etcd.Pause()
	defer p.etcd.Resume()
	fences := make(chan int64, 1)
	go func() {
		fence, err := n.FenceOff(testContext(t), name, compared)
		if err != nil {
			t.Error(err)
		}
		fences <- fence
	}()
	underWay := func() *fencing {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.fences[name]
	}
	eventually(t, "a fence is under way", func() bool { return underWay() != nil })
	first := underWay()
	<-first.done
	p.etcd.Resume()
	if got := <-fences; got <= compared {
		t.Errorf("got a fence at %d, want one behind %d", got, compared)
	}
}

// TestAFenceCountsWhenItIsDone lets a write ask for the result of a fence whose revision the host is just
// being told.
func TestAFenceCountsWhenItIsDone(t *testing.T) {
	t.Parallel()
	p := begin(t)
	told, goOn := make(chan struct{}), make(chan struct{})
	p.Seen = func(*pb.ResponseHeader, int64, int) { close(told); <-goOn }
	n := NewSession(p.Host)
	p.put(string(p.Keys.Session("other")), "{}", 0)
	var running sync.WaitGroup
	running.Go(func() {
		if _, err := n.FenceOff(testContext(t), "other", 1); err != nil {
			t.Error(err)
		}
	})
	<-told
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if fence, err := n.FenceOff(ctx, "other", 1); err == nil {
		t.Errorf("got a fence at %d before it is done, want an error", fence)
	}
	close(goOn)
	running.Wait()
}

func TestNoFenceIsPutUpForAStoreThatIsClosed(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := NewSession(p.Host)
	p.etcd.Cut()
	p.close()
	if fence, err := n.FenceOff(testContext(t), "gone", 1); fence != 0 || !errors.Is(err, errClosed) {
		t.Errorf("got a fence at %d, %v, want %v", fence, err, errClosed)
	}
}
