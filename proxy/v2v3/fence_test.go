package v2v3

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// events returns the number of events that the store has had.
func (f *fixture) events() int64 {
	f.Helper()
	log, err := f.client().Range(testContext(f.T), &pb.RangeRequest{Key: f.keys.Log()})
	if err != nil || len(log.Kvs) != 1 {
		f.Fatalf("reading the log: got %v, %v", log, err)
	}
	return log.Kvs[0].Version
}

// TestAWriteWhoseResponseIsLostIsAnswered cuts the connection when etcd has executed a write.
func TestAWriteWhoseResponseIsLostIsAnswered(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /n?value=0")
	// A sign of life of etcd may cut the connection before the write is sent.
	for i := range 50 {
		before := f.events()
		f.link.CutAfter(proxytest.FromEtcd, 0)
		answer := make(chan string, 1)
		go func() { answer <- f.do(fmt.Sprintf("PUT /n?prevValue=%d&value=%d", i, i+1)) }()
		eventually(t, "the connection is cut", func() bool { return f.link.Open() == 0 })
		executed := f.events() == before+1
		f.link.Mend()
		if got := next(t, answer); !strings.HasPrefix(got, "200 ") || !strings.Contains(got, `"action":"compareAndSwap"`) {
			t.Errorf("got %s, want the answer of etcd", got)
		}
		if got := f.events(); got != before+1 {
			t.Errorf("the store has had %d events since, want 1", got-before)
		}
		if executed || t.Failed() {
			return
		}
	}
	t.Error("etcd has executed no write whose response was lost")
}

// TestAWriteThatWasLostOnItsWayIsSentAgain cuts the connection before etcd has the write.
func TestAWriteThatWasLostOnItsWayIsSentAgain(t *testing.T) {
	t.Parallel()
	f := start(t)
	before := f.events()
	f.link.CutAfter(proxytest.ToEtcd, 0)
	answer := make(chan string, 1)
	go func() { answer <- f.do("POST /q?value=1") }()
	eventually(t, "the connection is cut", func() bool { return f.link.Open() == 0 })
	if got := f.events(); got != before {
		t.Fatalf("the store has had %d events since, want none yet", got-before)
	}
	f.link.Mend()
	if got := next(t, answer); !strings.HasPrefix(got, "201 ") {
		t.Errorf("got %s, want the answer of etcd", got)
	}
	if got := f.events(); got != before+1 {
		t.Errorf("the store has had %d events since, want 1", got-before)
	}
}

// TestEachOutcomeIsKnownWhileConnectionsBreak lets clients increment numbers while the
// connection to etcd breaks in the middle of requests and of responses.
func TestEachOutcomeIsKnownWhileConnectionsBreak(t *testing.T) {
	t.Parallel()
	f := start(t, func(o *Options) { o.Timeout = 20 * time.Second })
	const clients, each = 8, 8
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			key := fmt.Sprintf("/n%d", c%2)
			for done := 0; done < each && !t.Failed(); {
				value, condition := 0, "prevExist=false"
				if read := do(t, f.Store, "GET "+key+"?quorum=true"); strings.HasPrefix(read, "200") {
					e := event(t, read)
					_, _ = fmt.Sscan(*e.Node.Value, &value)
					condition = fmt.Sprintf("prevIndex=%d", e.Node.ModifiedIndex)
				}
				if got := do(t, f.Store, fmt.Sprintf("PUT %s?%s&value=%d", key, condition, value+1)); strings.HasPrefix(got, "20") {
					done++
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() { running.Wait(); close(finished) }()
	cuts := 0
	for tick := time.NewTicker(60 * time.Millisecond); ; cuts++ {
		select {
		case <-tick.C:
			f.link.Mend()
			f.link.CutAfter(rand.IntN(2), rand.IntN(3000))
			continue
		case <-finished:
			tick.Stop()
		}
		break
	}
	f.link.Mend()
	t.Logf("the connection was cut up to %d times", cuts)
	for c := range 2 {
		if got := *event(t, f.do(fmt.Sprintf("GET /n%d?quorum=true", c))).Node.Value; got != fmt.Sprint(clients/2*each) {
			t.Errorf("/n%d is %s, want %d", c, got, clients/2*each)
		}
	}
}

// planned returns the transaction of a write that was not sent yet.
func (f *fixture) planned(request string) (*proposal, *pb.TxnRequest) {
	f.Helper()
	p, failure, err := f.propose(parse(f.T, request), 0)
	if failure != nil || err != nil {
		f.Fatalf("%s: got %v, %v, want a proposal", request, failure, err)
	}
	return p, f.request(p)
}

// TestNoWriteIsExecutedBehindItsFence sends a write after its fence was put up, as a network does
// that delivers late.
func TestNoWriteIsExecutedBehindItsFence(t *testing.T) {
	t.Parallel()
	f := start(t)
	p, late := f.planned("PUT /a?value=1")
	fence, err := f.session.FenceOff(testContext(t), p.session, p.sessionRevision)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := f.session.FenceOff(testContext(t), p.session, p.sessionRevision); again != fence || err != nil {
		t.Errorf("a second fence against the same write: got %d, %v, want that at %d", again, err, fence)
	}
	f.notExecuted(late)
	if _, err := f.settle(testContext(t), p, errors.New("lost")); !errors.Is(err, errNotExecuted) {
		t.Errorf("settling the write: got %v, want %v", err, errNotExecuted)
	}
	f.want("GET /a", `404 100 {"errorCode":100,"message":"Key not found","cause":"/a","index":100}`)
	f.do("PUT /a?value=2") // by the same session
	if name, _, _ := f.session.Fence(); name != p.session {
		t.Error("the session has ended, want it to go on")
	}
}

func (f *fixture) notExecuted(late *pb.TxnRequest) {
	f.Helper()
	if answer, err := f.client().Txn(testContext(f.T), late); err != nil || answer.Succeeded {
		f.Errorf("a write behind its fence: got %v, %v, want that it fails", answer, err)
	}
}

// lease returns the lease of the session.
func (f *fixture) lease() int64 {
	f.Helper()
	name, _, _ := f.session.Fence()
	found, err := f.client().Range(testContext(f.T), &pb.RangeRequest{Key: f.keys.Session(name)})
	if err != nil || len(found.Kvs) != 1 {
		f.Fatalf("reading the session: got %v, %v", found, err)
	}
	return found.Kvs[0].Lease
}

// TestASessionThatIsOverIsAFence revokes the lease of a session, as etcd does when the proxy was paused.
func TestASessionThatIsOverIsAFence(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /n?value=1")
	p, late := f.planned("PUT /a?value=1")
	if _, err := f.client().Lease().LeaseRevoke(testContext(t), &pb.LeaseRevokeRequest{ID: f.lease()}); err != nil {
		t.Fatal(err)
	}
	fence, err := f.session.FenceOff(testContext(t), p.session, p.sessionRevision)
	if err != nil || fence != f.logRevision() {
		t.Errorf("got a fence at %d, %v, want the revision of the last event, %d", fence, err, f.logRevision())
	}
	f.notExecuted(late)
	if _, err := f.settle(testContext(t), p, errors.New("lost")); !errors.Is(err, errNotExecuted) {
		t.Errorf("settling the write: got %v, want %v", err, errNotExecuted)
	}
	if got := f.do("PUT /a?value=2"); !strings.HasPrefix(got, "201") {
		t.Errorf("got %s, want that the next session executes the write", got)
	}
	if name, _, _ := f.session.Fence(); name == p.session || name == "" {
		t.Errorf("the session is %q, want another one than %q", name, p.session)
	}
}

// TestALateFenceDoesNotReviveASession puts the fence of a session up after its lease is over.
func TestALateFenceDoesNotReviveASession(t *testing.T) {
	t.Parallel()
	f := start(t)
	name, revision, _ := f.session.Fence()
	if _, err := f.client().Lease().LeaseRevoke(testContext(t), &pb.LeaseRevokeRequest{ID: f.lease()}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.session.FenceOff(testContext(t), name, revision); err != nil {
		t.Fatal(err)
	}
	if found, err := f.client().Range(testContext(t), &pb.RangeRequest{Key: f.keys.Session(name)}); err != nil || found.Count != 0 {
		t.Errorf("the key of the session: got %v, %v, want none", found, err)
	}
}

// TestABumpEndsNeitherTheSessionNorItsWrites checks that a write which meets the fence of another one is
// sent again, and is not counted as a conflict.
func TestABumpEndsNeitherTheSessionNorItsWrites(t *testing.T) {
	t.Parallel()
	f := start(t)
	p, late := f.planned("PUT /a?value=1")
	// The response to this fence is lost: the proxy learns from its own write that it is up.
	value := layout.Presence{Time: 1}
	put := &pb.PutRequest{Key: f.keys.Session(p.session), Value: value.Encode(), IgnoreLease: true}
	if _, err := f.client().Put(testContext(t), put); err != nil {
		t.Fatal(err)
	}
	answer, err := f.client().Txn(testContext(t), late)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.conflict(testContext(t), p, answer, 0); !errors.Is(err, errRenewed) {
		t.Errorf("got %v, want %v", err, errRenewed)
	}
	f.do("PUT /a?value=2")
	if name, _, _ := f.session.Fence(); name != p.session {
		t.Error("the session has ended, want it to go on")
	}
}

// TestAnOutcomeIsUnknownWithoutAConfirmedFence keeps etcd away until the time of the write is over.
func TestAnOutcomeIsUnknownWithoutAConfirmedFence(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx, cancel := context.WithTimeout(testContext(t), 300*time.Millisecond)
	defer cancel()
	f.link.Pause()
	defer f.link.Resume()
	_, err := f.Do(ctx, parse(t, "PUT /a?value=1"))
	var known *Error
	if !errors.As(err, &known) || known.Kind != UnknownOutcome {
		t.Errorf("got %v, want an unknown outcome", err)
	}
	if got := f.Status(); got.LostUnknown != 1 || got.LostExecuted != 0 || got.LostNotExecuted != 0 || got.Fences == 0 {
		t.Errorf("got the status %+v, want one write of unknown outcome, and a fence", got)
	}
}

// TestAnOutcomeIsUnknownIfTheMirrorHasAGap loads the mirror again between a write and its fence.
func TestAnOutcomeIsUnknownIfTheMirrorHasAGap(t *testing.T) {
	t.Parallel()
	f := start(t)
	p, _ := f.planned("PUT /a?value=1")
	f.compact()
	rebuilt := f.rebuilt
	f.abandon("the test wants it")
	f.end(errRebuild)
	<-rebuilt
	_, err := f.settle(testContext(t), p, errors.New("lost"))
	var known *Error
	if !errors.As(err, &known) || known.Kind != UnknownOutcome {
		t.Errorf("got %v, want an unknown outcome", err)
	}
}

// TestAClosedStoreLeavesNoSession checks that others need not wait for its lease.
func TestAClosedStoreLeavesNoSession(t *testing.T) {
	t.Parallel()
	f := start(t)
	name, _, _ := f.session.Fence()
	f.Close()
	if found, err := f.client().Range(testContext(t), &pb.RangeRequest{Key: f.keys.Session(name)}); err != nil || found.Count != 0 {
		t.Errorf("the key of the session: got %v, %v, want none", found, err)
	}
}
