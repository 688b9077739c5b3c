package share

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"testing"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/upstream"
)

func TestAHubThatEndsCountsAmongTheFreeOnesNoMore(t *testing.T) {
	s := newScales(t)
	ws := NewWatches(WatchOptions{})
	f := make(freeHubs)
	var hubs []*hub
	for i := range uint64(3) {
		h := idle(ws, "/a", i)
		h.weight.payer = s.one
		f.add(h)
		hubs = append(hubs, h)
	}
	f.add(idle(ws, "/b", 0)) // nobody pays
	for i, h := range hubs {
		if len(f) != 1 || len(f[placeOf(h)]) != 3-i || f[placeOf(h)][0] != h {
			t.Fatalf("after %d of 3 have ended: got %v, want the others", i, f)
		}
		f.remove(h)
		f.remove(h)
	}
	if len(f) != 0 {
		t.Errorf("in the end: got %v, want none", f)
	}
}

func TestOfTheFreeHubsOneOfTheLargestNetworkEnds(t *testing.T) {
	s := newScales(t)
	third := s.table.Address(netip.MustParseAddr("203.0.113.1"))
	defer third.Close()
	ws := NewWatches(WatchOptions{})
	hubOf := func(a *account.Account, key string) *hub {
		h := idle(ws, key, 0)
		h.weight.payer, h.recursive = a, true
		return h
	}
	f := make(freeHubs)
	for _, key := range []string{"/a", "/a/b", "/a/b/c"} {
		f.add(hubOf(s.one, key))
	}
	f.add(hubOf(third, "/a"))
	for range 20 { // the order of networks is random
		if got := f.tooMany(hubOf(s.other, "/a/b/c")); got == nil || got.weight.payer != s.one {
			t.Fatalf("beside three hubs of one network and one of another: got %+v to end, want one of the three", got)
		}
	}
	if got := f.tooMany(hubOf(s.one, "/a/b/c")); got != nil {
		t.Errorf("of the largest network itself: got a hub of %v to end, want none", got.weight.payer)
	}
}

func TestALateJoinWhoseClientLeavesIsCanceled(t *testing.T) {
	reading, end := make(chan struct{}, 10), make(chan struct{})
	defer close(end)
	s := newScripted(t, hold, func(w http.ResponseWriter, _ *http.Request) {
		reading <- struct{}{}
		<-end
		writeHead(w, 7, "c")
	})
	first, _, _ := join(t, s.Watches, "/a", false, 0)
	defer first.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reading
		cancel()
	}()
	var failed *upstream.Error
	if err := s.tryJoin(ctx, watchOf("/a")); !errors.As(err, &failed) || failed.Kind != upstream.Canceled {
		t.Errorf("got the error %v, want one of the kind %v", err, upstream.Canceled)
	}
}

func TestAShardKeepsUpTo64FreeFlights(t *testing.T) {
	r, _ := newReads(t, http.NotFound)
	var leads []Lead
	for i := range 100 * len(r.shards) {
		lead, _, err := r.Join(t.Context(), "/"+strconv.Itoa(i), "", &bulk.Claim{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		leads = append(leads, lead)
	}
	for _, lead := range leads {
		lead.Done()
	}
	for i := range r.shards {
		if n := len(r.shards[i].free); n > 64 || len(r.shards[i].flights) != 0 {
			t.Errorf("after about a hundred reads: got %d free flights and %d others, want at most 64 and none", n, len(r.shards[i].flights))
		}
	}
}
