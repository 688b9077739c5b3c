package std

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

func TestAStreamIsTakenBackOnlyInItsClassAndOnce(t *testing.T) {
	w := &work{}
	w.progressed()
	q := &request{w: &deadlines{}, conn: &connection{http2: &http2Conn{}}, task: task{work: w}}
	q.task.enter(working)
	for _, class := range []account.Class{account.Silent, account.Stalled, account.Slow, account.Watching, account.Busy} {
		if n := (stream{q}).Revoke(class); n != 0 || q.broken.Load() {
			t.Fatalf("a stream that etcd works for: got %d units as if its class were %v, want none", n, class)
		}
	}
	q.task.enter(watching)
	ended := 0
	end := context.CancelCauseFunc(func(error) { ended++ })
	q.endWatch.Store(&end)
	if n := (stream{q}).Revoke(account.Watching); n != streamUnits || ended != 1 {
		t.Errorf("a stream that watches: got %d units and %d ends, want %d and 1", n, ended, streamUnits)
	}
	if n := (stream{q}).Revoke(account.Watching); n != 0 || ended != 1 {
		t.Errorf("a stream that was taken back: got %d units and %d ends, want none more", n, ended)
	}
}

// TestAStreamThatIsTakenBackEndsWhateverItWaitsFor looks at the deadlines, because what waits for a client
// ends by them.
func TestAStreamThatIsTakenBackEndsWhateverItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for what, test := range map[string]struct {
			phase          phase
			pause          time.Duration
			watches, waits bool // as it began, and for its turn
			class          account.Class
		}{
			"the rest of a body":          {phase: receiving, pause: lane.StalledAfter + 1, class: account.Stalled},
			"a client to take its answer": {phase: sending, pause: slowAfter + 1, class: account.Slow},
			"a client to take its event":  {phase: sending, pause: lane.StalledAfter + 1, watches: true, class: account.Stalled},
			"its turn":                    {phase: writing, waits: true, pause: slowAfter + 1, class: account.Slow},
		} {
			w := &deadlines{}
			q := &request{w: w, conn: &connection{http2: &http2Conn{}}, task: task{work: &work{}}}
			q.task.enter(test.phase)
			ended, left := 0, 0
			end := context.CancelCauseFunc(func(error) { ended++ })
			if test.watches {
				q.endWatch.Store(&end)
			}
			if test.waits {
				q.Queued(func() { left++ })
			}
			time.Sleep(test.pause) //nolint:forbidigo // of synctest
			units := (stream{q}).Revoke(test.class)
			passed := len(w.read) == 1 && len(w.write) == 1 && w.read[0].Before(time.Now()) && w.write[0].Before(time.Now())
			if units != streamUnits || !passed || ended != 0 || (left == 1) != test.waits {
				t.Errorf("a stream that waits for %s: got %d units, the deadlines passed %t, %d ends of a watch and %d of a wait; want %d, true, none, and one if there is a wait", what, units, passed, ended, left, streamUnits)
			}
		}
	})
}

// TestAStreamOfAClientThatAcceptsNothingIsTakenBackWithItsConnection has a write of the connection that waits
// for its client.
func TestAStreamOfAClientThatAcceptsNothingIsTakenBackWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &armed{ends: make(chan struct{})}
		c := newHTTP2Conn(wire.below(), seed.Peer(), &lane.Conns{}, hastyLimits, nil)
		q := &request{w: &deadlines{}, conn: &connection{http2: c}, task: task{work: &c.work}}
		q.task.enter(sending)
		c.writing.Store(time.Now().UnixNano())
		time.Sleep(lane.StalledAfter + 1) //nolint:forbidigo // of synctest
		if n := (stream{q}).Revoke(account.Stalled); n != streamUnits {
			t.Errorf("got %d units, want %d", n, streamUnits)
		}
		<-wire.ends
	})
}
