package v2v3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

func TestAnErrorSaysWhatBecameOfTheOperation(t *testing.T) {
	for kind, want := range map[Kind]string{NotServed: "the store cannot answer: why", NotExecuted: "the write was not executed: why",
		UnknownOutcome: "the outcome of the write is unknown: why", Executed: "the write was executed at index 7, but its answer is lost: why"} {
		if got := (&Error{Kind: kind, Index: 7, Reason: "why"}).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	known := &Error{Kind: UnknownOutcome, Reason: "lost"}
	if got := asError(fmt.Errorf("writing: %w", known)); !errors.Is(got, known) {
		t.Errorf("got %v, want %v", got, known)
	}
	var other *Error
	if got := asError(errors.New("full")); !errors.As(got, &other) || other.Kind != NotExecuted || other.Reason != "full" {
		t.Errorf("got %v, want a write that was not executed", got)
	}
}

func TestAStoreNeedsAnEndpointATimeoutAndALog(t *testing.T) {
	good := Options{Endpoints: []Endpoint{{Addr: "127.0.0.1:1"}}, Timeout: time.Second, Log: slog.New(slog.DiscardHandler)}
	for what, change := range map[string]func(*Options){"no endpoint": func(o *Options) { o.Endpoints = nil }, "no timeout": func(o *Options) { o.Timeout = 0 },
		"a negative timeout": func(o *Options) { o.Timeout = -1 }, "no log": func(o *Options) { o.Log = nil }, "a bad address": func(o *Options) { o.Endpoints = []Endpoint{{Addr: "\x7f"}} }} {
		o := good
		change(&o)
		if s, err := Open(o); s != nil || err == nil {
			t.Errorf("%s: got no error", what)
		}
	}
}

// TestReadsWithoutEventsEndAfterAWhile has a store that serves stale reads, and one that does not.
func TestReadsWithoutEventsEndAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		strict, stale := &Store{}, &Store{o: Options{ServeStale: true}}
		check := func(when, wantStrict, wantStale string) {
			t.Helper()
			for s, want := range map[*Store]string{strict: wantStrict, stale: wantStale} {
				got := ""
				if err := s.usable(); err != nil {
					got = err.Reason
				}
				if got != want {
					t.Errorf("%s: got the reason %q, want %q", when, got, want)
				}
			}
		}
		check("with events", "", "")
		strict.lost, stale.lost = time.Now(), time.Now()
		sleep(10 * time.Second)
		check("for 10 s", "", "")
		sleep(1)
		check("for longer", "etcd is away", "")
		strict.reason, stale.reason = "it is loaded", "it is loaded"
		check("while the tree is loaded", "it is loaded", "it is loaded")
	})
}

// sleep lets the time of the bubble go by.
func sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the clock is the bubble's: nothing waits
}

// TestTheNextEndpointDependsOnWhatFailed uses the second of three endpoints.
func TestTheNextEndpointDependsOnWhatFailed(t *testing.T) {
	client, err := rpc.New([]Endpoint{{Addr: "127.0.0.1:1"}, {Addr: "127.0.0.1:2"}, {Addr: "127.0.0.1:3"}}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s := &Store{client: client}
	for _, test := range []struct {
		at, showed int
		err        error
		want       int
	}{
		{1, 1, errors.New("lost"), 2}, {2, 2, errors.New("lost"), 0}, {0, 0, errors.New("lost"), 1},
		{1, 2, errPreferred, 0}, {1, 1, errRebuild, 1}, {1, 1, fmt.Errorf("%w: much", errOversize), 1}, {1, 1, fmt.Errorf("reading: %w", errNoTree), 1}, {1, 1, rpctypes.ErrGRPCCompacted, 1},
		{1, 1, status.Error(codes.ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"), 1},
		{1, 0, errBehind, 0}, {1, 2, errBehind, 2}, {1, 1, errBehind, 2}, {2, 0, errors.New("lost"), 0},
	} {
		if err := client.Use(test.at); err != nil {
			t.Fatal(err)
		}
		s.seen = seen{}
		s.seen.show(5, test.showed)
		if next, place := s.nextEndpoint(test.err); next != test.want || place != fmt.Sprintf("127.0.0.1:%d", test.at+1) {
			t.Errorf("%v at %d: got the endpoint %d after %s, want %d", test.err, test.at, next, place, test.want)
		}
	}
}

func TestTheNextConnectionWaitsLongerWhenNoEndpointWorks(t *testing.T) {
	client, err := rpc.New([]Endpoint{{Addr: "127.0.0.1:1"}, {Addr: "127.0.0.1:2"}}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s := &Store{client: client}
	failed := errors.New("it failed")
	for _, test := range []struct {
		err        error
		followed   bool
		try        int
		last, want time.Duration
	}{
		{failed, true, 0, time.Second, 0},
		{failed, false, 0, 0, 0},
		{failed, false, 1, 0, 50 * time.Millisecond},
		{failed, false, 2, 50 * time.Millisecond, 50 * time.Millisecond},
		{failed, false, 3, 50 * time.Millisecond, 100 * time.Millisecond},
		{failed, false, 5, 900 * time.Millisecond, time.Second},
		{fmt.Errorf("loading: %w", errOversize), false, 0, 0, 30 * time.Second},
		{failed, false, 0, 30 * time.Second, time.Second},
	} {
		if got := s.pauseAfter(test.err, test.followed, test.try, test.last); got != test.want {
			t.Errorf("%+v: got a pause of %s", test, got)
		}
	}
}

func TestTheFirstLossOfEventsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, err := rpc.New([]Endpoint{{Addr: "127.0.0.1:1"}}, "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		s := &Store{client: client, o: Options{Log: slog.New(slog.DiscardHandler)}}
		began := time.Now()
		for _, reason := range []string{"first", "second"} {
			s.disconnected(errors.New(reason), false)
			if s.reason != reason || !s.lost.Equal(began) {
				t.Errorf("got the reason %q since %s, want %q since %s", s.reason, s.lost, reason, began)
			}
			sleep(time.Second)
		}
	})
}

func TestAHistoryThatCannotBeLoadedIsGivenUp(t *testing.T) {
	s := &Store{}
	for _, want := range []bool{true, true, false, false} {
		if got := s.withPast(); got != want {
			t.Errorf("after %d failures: the history is loaded: %v, want %v", s.pastFailures, got, want)
		}
		s.pastFailed()
	}
}

func TestWhoWaitsForARevisionIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{}
		s.ctx, s.cancel = context.WithCancel(t.Context())
		s.applied.Store(5)
		if err := s.reach(t.Context(), 5); err != nil {
			t.Errorf("a revision that is there: %v", err)
		}
		reached := map[int64]chan error{}
		for _, revision := range []int64{6, 7, 7, 8} {
			done := make(chan error, 2)
			if reached[revision] != nil {
				done = reached[revision]
			}
			reached[revision] = done
			go func() { done <- s.reach(t.Context(), revision) }()
		}
		advance := func(revision int64) {
			synctest.Wait()
			s.mu.Lock()
			s.advance(revision)
			s.mu.Unlock()
			synctest.Wait()
		}
		for _, step := range []struct {
			to   int64
			want []int // how many were woken of 6, 7 and 8
			left int
		}{{5, []int{0, 0, 0}, 4}, {7, []int{1, 2, 0}, 1}, {9, []int{1, 2, 1}, 0}} {
			advance(step.to)
			if got := []int{len(reached[6]), len(reached[7]), len(reached[8])}; !slices.Equal(got, step.want) || len(s.reaching) != step.left || s.applied.Load() != step.to {
				t.Errorf("at the revision %d: %v were woken and %d wait, want %v and %d", step.to, got, len(s.reaching), step.want, step.left)
			}
		}
		for revision, done := range reached {
			for range len(done) {
				if err := <-done; err != nil {
					t.Errorf("the revision %d: %v", revision, err)
				}
			}
		}
	})
}

// TestWhoWaitsNoLongerIsForgotten has a revision that never comes, such as one of another past.
func TestWhoWaitsNoLongerIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{}
		s.ctx, s.cancel = context.WithCancel(t.Context())
		other := make(chan error, 1)
		go func() { other <- s.reach(t.Context(), 9) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.reach(ctx, 9); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got the error %v, want %v", err, context.DeadlineExceeded)
		}
		if len(s.reaching) != 1 {
			t.Errorf("%d wait, want only the other one", len(s.reaching))
		}
		s.cancel()
		if err := <-other; !errors.Is(err, errClosed) || len(s.reaching) != 0 {
			t.Errorf("got the error %v and %d wait, want that the store is closed", err, len(s.reaching))
		}
	})
}

func TestOnlyTheLastIndexIsTakenFromFacts(t *testing.T) {
	facts := []v2store.Fact{{Kind: v2store.DirExists, Key: "/q"}, {Kind: v2store.LastIndex, Index: 7}, {Kind: v2store.Absent, Key: "/q/8"}}
	if got := withoutIndex(facts); !slices.Equal(got, []v2store.Fact{facts[0], facts[2]}) {
		t.Errorf("got %+v, want the others in their order", got)
	}
}
