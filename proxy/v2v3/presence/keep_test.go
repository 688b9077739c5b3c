package presence

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// kept returns a keeper with the session s, whose tree has the key of the keeper at the revision 7.
func kept(t *testing.T) (*Keeper, *tree) {
	tr := &tree{read: func() (*mvccpb.KeyValue, []string, bool) { return &mvccpb.KeyValue{ModRevision: 7}, nil, true }}
	h := Host{Context: t.Context(), Log: logTo(t), Now: time.Now}
	n := NewSession(h)
	n.name, n.ended = "s", make(chan struct{})
	k := NewKeeper(h, n, tr)
	k.clock.begin()
	return k, tr
}

func TestAKeeperKeepsInEachPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, tr := kept(t)
		cause := errors.New("the test ends")
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.keep(ctx, "s", 7) }()
		for period := range 4 {
			synctest.Wait()
			if expired, compacted := tr.counts(); expired != period || compacted != period {
				t.Errorf("after %d periods: expired %d and compacted %d times", period, expired, compacted)
			}
			sleep(500 * time.Millisecond)
		}
		synctest.Wait()
		// If there is more, the keeper goes on at once.
		tr.mu.Lock()
		tr.more = 3
		tr.mu.Unlock()
		before, _ := tr.counts()
		sleep(500 * time.Millisecond)
		synctest.Wait()
		if after, _ := tr.counts(); after-before != 4 {
			t.Errorf("expired %d times in a period, want four times until there is no more", after-before)
		}
		cancel(cause)
		if err := <-ended; !errors.Is(err, cause) {
			t.Errorf("got the error %v, want %v", err, cause)
		}
		for _, keeper := range tr.expired {
			if keeper != 7 {
				t.Errorf("nodes expired for the keeper at %d, want 7", keeper)
			}
		}
	})
}

func TestAKeeperThatIsDoneExpiresNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for what, test := range map[string]struct {
			change func(*Keeper, *tree)
			want   string
			after  time.Duration
		}{
			"its session is over":        {func(k *Keeper, _ *tree) { k.session.Saw("s", 0) }, "the session is over", 500 * time.Millisecond},
			"its session is another one": {func(k *Keeper, _ *tree) { k.session.name = "t" }, "the session is over", 500 * time.Millisecond},
			"another proxy has its place": {func(_ *Keeper, tr *tree) {
				tr.read = func() (*mvccpb.KeyValue, []string, bool) { return &mvccpb.KeyValue{ModRevision: 8}, nil, true }
			}, "the mirror shows another keeper, or none", 2500 * time.Millisecond},
			"nobody has its place": {func(_ *Keeper, tr *tree) {
				tr.read = func() (*mvccpb.KeyValue, []string, bool) { return nil, nil, true }
			}, "the mirror shows another keeper, or none", 2500 * time.Millisecond},
			"its clock jumps": {func(k *Keeper, _ *tree) {
				k.clock.now = func() time.Time { return time.Now().Add(time.Hour) }
			}, "the clock has jumped by 1h0m0s", 500 * time.Millisecond},
		} {
			k, tr := kept(t)
			test.change(k, tr)
			began := time.Now()
			err := k.keep(t.Context(), "s", 7)
			if err == nil || err.Error() != test.want || time.Since(began) != test.after {
				t.Errorf("%s: got the error %v after %s, want %q after %s", what, err, time.Since(began), test.want, test.after)
			}
			if expired, compacted := tr.counts(); expired != 0 || compacted != 0 {
				t.Errorf("%s: expired %d and compacted %d times, want never", what, expired, compacted)
			}
		}
	})
}

// TestAKeeperWaitsForItsMirror has a mirror that is without events, and then behind the election.
func TestAKeeperWaitsForItsMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, tr := kept(t)
		began := time.Now()
		good := tr.read
		tr.read = func() (*mvccpb.KeyValue, []string, bool) {
			switch passed := time.Since(began); {
			case passed < time.Second:
				return nil, nil, false
			case passed < 2*time.Second:
				return nil, nil, true
			case passed > time.Hour:
				return nil, nil, false // without events for as long as it takes
			}
			return good()
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.keep(ctx, "s", 7) }()
		sleep(2*time.Second - 1)
		synctest.Wait()
		if expired, _ := tr.counts(); expired != 0 {
			t.Errorf("expired %d times behind the election, want never", expired)
		}
		sleep(1)
		synctest.Wait()
		if expired, _ := tr.counts(); expired != 1 {
			t.Errorf("expired %d times with the mirror up to date, want once", expired)
		}
		sleep(2 * time.Hour)
		synctest.Wait()
		if len(ended) > 0 {
			t.Errorf("the keeper has ended without events: %v, want that it waits", <-ended)
		}
		cancel()
		<-ended
	})
}

// TestAKeeperWithoutEventsDoesNotGoOn has a mirror that loses its events while there is more to expire.
func TestAKeeperWithoutEventsDoesNotGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, tr := kept(t)
		good := tr.read
		tr.more = 10
		asked := 0
		tr.read = func() (*mvccpb.KeyValue, []string, bool) {
			if expired, _ := tr.counts(); expired > 0 {
				asked++
				return nil, nil, false
			}
			return good()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := k.keep(ctx, "s", 7); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got the error %v, want that the time is over", err)
		}
		if asked < 2 || asked > 5 {
			t.Errorf("the mirror was asked %d times in 1.5 s, want once in each period and at once after the first", asked)
		}
	})
}

// TestANewKeeperHearsTheOthersFirst has another proxy, which says the time of its clock late or never.
func TestANewKeeperHearsTheOthersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, says := range []bool{true, false} {
			k, tr := kept(t)
			tr.read = func() (*mvccpb.KeyValue, []string, bool) {
				return &mvccpb.KeyValue{ModRevision: 7}, []string{"other"}, true
			}
			k.set(7)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- k.keep(ctx, "s", 7) }()
			sleep(600 * time.Millisecond)
			synctest.Wait()
			if expired, _ := tr.counts(); expired != 0 {
				t.Errorf("expired %d times before the other proxy was heard, want never", expired)
			}
			want := 0
			if says {
				k.Observe("other", time.Now().UnixNano(), 8)
				want = 1
			}
			sleep(400 * time.Millisecond) // the second period ends after 1 s
			synctest.Wait()
			if expired, _ := tr.counts(); expired != want {
				t.Errorf("heard: %v: expired %d times after a second, want %d times", says, expired, want)
			}
			if !says {
				sleep(maxAnswers)
			}
			sleep(500 * time.Millisecond)
			synctest.Wait()
			if expired, _ := tr.counts(); expired <= want {
				t.Errorf("heard: %v: expired %d times later, want more than %d times", says, expired, want)
			}
			cancel()
			<-ended
		}
	})
}

// TestOnlyWhatFollowsTheElectionIsObserved has events that arrive before etcd says that the proxy was elected,
// as on a busy machine.
func TestOnlyWhatFollowsTheElectionIsObserved(t *testing.T) {
	k := NewKeeper(Host{Now: time.Now}, NewSession(Host{}), nil)
	k.Observe("other", 0, 9)
	k.clock.begin()
	k.Observe("earlier", 0, 7)
	k.Observe("at once", 0, 8)
	if different, doubts := k.Clock(); different != 0 || doubts != 0 {
		t.Errorf("a proxy that is not the keeper counts %d clocks, want none", different)
	}
	k.clock.elected(7)
	if different, _ := k.Clock(); different != 1 {
		t.Errorf("a keeper that heard another at once counts %d clocks, want one", different)
	}
	k.Observe("late", 0, 7)
	if different, _ := k.Clock(); different != 1 {
		t.Errorf("a keeper that heard another from before its election counts %d clocks, want one", different)
	}
	k.Observe("later", 0, 9)
	k.clock.end()
	k.Observe("last", 0, 10)
	if different, _ := k.Clock(); different != 2 {
		t.Errorf("a keeper that has ended counts %d clocks, want the two that it heard", different)
	}
}
