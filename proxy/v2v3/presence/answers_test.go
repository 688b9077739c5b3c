package presence

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// counted is a tree that counts the sweeps of a keeper of the revision 10.
type counted struct {
	others []string
	sweeps atomic.Int64
}

func (c *counted) Keeper() (*mvccpb.KeyValue, []string, bool) {
	return &mvccpb.KeyValue{ModRevision: 10}, c.others, true
}

func (c *counted) Expire(context.Context, int64, time.Time) bool { c.sweeps.Add(1); return false }

func (c *counted) Writes() bool { return true }

func (c *counted) Compact(context.Context) {}

// advance moves the clock of the synctest bubble.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the clock is the bubble's: nothing waits
	synctest.Wait()
}

// TestANewKeeperWaitsForTheClocksOfOthers lets nobody, one and both of two others say what time they have.
func TestANewKeeperWaitsForTheClocksOfOthers(t *testing.T) {
	for _, test := range []struct {
		answers []string
		after   time.Duration // the keeper begins to expire
	}{
		{nil, 30 * time.Second},
		{[]string{"a"}, time.Second},
		{[]string{"a", "b"}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			session := NewSession(Host{Context: t.Context()})
			session.name = "own"
			tree := &counted{others: []string{"a", "b"}}
			k := NewKeeper(Host{Context: t.Context(), Log: slog.New(slog.DiscardHandler), Now: time.Now}, session, tree)
			k.set(10)
			k.clock.begin()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); _ = k.keep(ctx, "own", 10) }()
			for _, name := range test.answers {
				k.Observe(name, time.Now().UnixNano(), 11)
			}
			advance(test.after + sweepPeriod/4)
			if n := tree.sweeps.Load(); n > 0 {
				t.Errorf("with answers of %q: got %d sweeps in the first %s", test.answers, n, test.after)
			}
			advance(2 * sweepPeriod)
			if tree.sweeps.Load() == 0 {
				t.Errorf("with answers of %q: got no sweep after %s", test.answers, test.after)
			}
			cancel()
			<-done
		})
	}
}
