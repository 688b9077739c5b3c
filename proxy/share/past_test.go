package share

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/upstream"
)

// TestEventsOfTheHistoryThatMayBeLargeAreAskedForAFewAtATime lets a client ask for an event from
// many old indexes. etcd encodes it for each of them.
func TestEventsOfTheHistoryThatMayBeLargeAreAskedForAFewAtATime(t *testing.T) {
	t.Parallel()
	const watches = 12
	for what, c := range map[string]struct {
		size   int64 // of the event before, if there was one
		exists bool
		most   int64 // requests at the same time
	}{
		"an event that is known to be large":              {20 * bulk.Unit, true, 4},
		"one of which nothing is known, beside others":    {0, true, maxChain},
		"one that is known to be small":                   {100, true, maxChain - 1 + 4},
		"one that does not exist, of a key of large ones": {20 * bulk.Unit, false, watches},
		"one that does not exist":                         {0, false, watches},
	} {
		t.Run(what, func(t *testing.T) {
			table := account.NewTable()
			pool := func(name string, total int64) *account.Pool {
				return table.NewPool(account.Options{Name: name, Total: total})
			}
			limits := bulk.NewLimits(pool("bytes", 1000), pool("trees", 4), pool("watched", 1000))
			client := table.Address(netip.MustParseAddr("192.0.2.1"))
			t.Cleanup(client.Close)
			goOn := make(chan struct{})
			var past atomic.Int64 // requests from an old index
			s := newScripted(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
				writeHead(w, 100, "c")
				if r.URL.Query().Has("waitIndex") && c.exists {
					past.Add(1)
					<-goOn
					writeEvent(w, "/a", 90)
				} else {
					<-r.Context().Done()
				}
			}, nil)
			release := sync.OnceFunc(func() { close(goOn) })
			t.Cleanup(release)
			s.pastPatience, s.longPatience = waitTime, waitTime
			if !c.exists {
				s.pastPatience, s.longPatience = time.Millisecond, time.Millisecond
			}
			if c.size > 0 {
				known := limits.Past(client, "/v2/keys/a", false)
				known.Began(c.size, true)
			}
			type joined struct {
				watcher *Watcher
				err     error
			}
			all := make(chan joined, watches)
			for since := range uint64(watches) {
				go func() {
					want := watchOf("/a")
					want.Since, want.Claim = since+1, limits.Watch(client, "/v2/keys/a", false)
					w, _, err := s.Join(t.Context(), want, make(bell, 1))
					all <- joined{w, err}
				}()
			}
			if c.exists {
				soon(t, "the others wait for their turn", func() bool { return int64(limits.Trees.Status().Waiting) == watches-c.most && past.Load() == c.most })
				release()
			}
			for range watches {
				j := <-all
				if j.err != nil {
					t.Fatal(j.err)
				}
				defer j.watcher.Close()
			}
			soon(t, "no place is held", func() bool { return limits.Trees.Used() == 0 && limits.Bytes.Used() == 0 })
		})
	}
}

func TestAWatchOfTheHistoryThatCostsMoreThanIsFreeIsNotSent(t *testing.T) {
	c := newScales(t)
	s := newScripted(t, hold, nil)
	s.weightPatience = time.Millisecond
	free, _, _ := join(t, s.Watches, "/a", false, 0)
	defer free.Close()
	known := c.Watch(c.one, "/v2/keys/a", false)
	known.Event(60 * bulk.Unit)
	known.Release()
	if !c.Watched.TryAcquire(c.other, 50, account.Ordinary) {
		t.Fatal("50 of 100 units: got none")
	}
	defer c.Watched.Release(c.other, 50, account.Ordinary)
	want := c.watch(c.one, "/a", false, 3) // which needs 60
	if err := s.tryJoin(t.Context(), want); !errors.Is(err, errOverShare) {
		t.Errorf("got the error %v, want %v", err, errOverShare)
	}
	for _, target := range s.targets() {
		if strings.Contains(target, "waitIndex=3") {
			t.Errorf("got %s sent to etcd, want no watch of the history", target)
		}
	}
}

func TestAWatchOfTheHistoryForWhichThereIsNoPlaceGivesItsSlotBack(t *testing.T) {
	s := newScripted(t, hold, nil)
	s.Watches = newWatchesUpTo(t, s.server, 1)
	s.pastPatience = time.Millisecond
	first, _, _ := join(t, s.Watches, "/a", false, 0)
	want := watchOf("/a")
	want.Since = 3
	var failed *upstream.Error
	if err := s.tryJoin(t.Context(), want); !errors.As(err, &failed) || failed.Kind != upstream.Busy {
		t.Errorf("a second watch where one is allowed: got the error %v, want one of the kind %v", err, upstream.Busy)
	}
	first.Close()
	s.expectNoSlots(t, "both")
}

func TestAnEventOfTheHistoryCountsForTheNextWatch(t *testing.T) {
	c := newScales(t)
	s := newScripted(t, func(n int64, w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("waitIndex") {
			hold(n, w, r)
			return
		}
		writeHead(w, 7, "c")
		fmt.Fprintf(w, `{"node":{"key":"/a","value":%q,"modifiedIndex":3}}`+"\n", strings.Repeat("x", 10*bulk.Unit))
	}, nil)
	s.pastPatience = waitTime
	w, _, err := s.Join(t.Context(), c.watch(c.one, "/a", false, 3), make(bell, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	next := c.Watch(c.other, "/v2/keys/a", false)
	soon(t, "the next watch costs as much as the event", func() bool {
		next = c.Watch(c.other, "/v2/keys/a", false)
		return next.Size() == 11*bulk.Unit
	})
}

func TestAHubOfTheHistoryKeepsItsEventForWhoComesLater(t *testing.T) {
	ws := NewWatches(WatchOptions{})
	h := idle(ws, "/a", 5)
	h.publishHead(&Head{Status: 200, Index: 9})
	ws.texts.held.Add(ws.texts.limit) // there is no room for what nobody waits for
	e := ws.texts.event(7, 10)
	h.deliver(e)
	e.release()
	head, w := h.head, &Watcher{hub: h, since: 5, index: notWaiting}
	if got := h.attach(w, &head); got != joined || w.Result() != e {
		t.Errorf("a second watch from the same index: got %v and the result %+v, want the event", got, w.Result())
	}
}
