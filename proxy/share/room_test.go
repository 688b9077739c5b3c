package share

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/account"
)

// taker is a client that does not take its event until it is broken off.
type taker struct {
	bell
	off chan struct{}
}

func (k *taker) BreakOff() { close(k.off) }

// take starts a watch of a client that does not take its event. The watcher is closed when it is
// broken off.
func (s *scales) take(t *testing.T, ws *Watches, a *account.Account, key string) (*Watcher, *taker) {
	t.Helper()
	k := &taker{make(bell, 1), make(chan struct{})}
	w, _, err := ws.Join(context.Background(), s.watch(a, key, false, 0), k)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		select {
		case <-k.off:
		case <-t.Context().Done():
		}
		w.Close()
	}()
	t.Cleanup(func() { <-closed })
	return w, k
}

func TestAnEventOfMoreThan4KiBIsLarge(t *testing.T) {
	for _, c := range []struct {
		text *text
		want bool
	}{{nil, false}, {&text{size: 4096}, false}, {&text{size: 4097}, true}} {
		if got := (&Event{text: c.text}).isLarge(); got != c.want {
			t.Errorf("an event with the text %+v: got large %t, want %t", c.text, got, c.want)
		}
	}
}

func TestASmallEventHasRoomWhateverOthersHold(t *testing.T) {
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	w, _, news := join(t, ws, "/a", false, 0)
	defer w.Close()
	ws.texts.held.Add(ws.texts.limit)
	defer ws.texts.held.Add(-ws.texts.limit)
	set(t, etcd, "/a", "small")
	<-news
	if e := w.Result(); e.Err != nil || !strings.Contains(string(e.Body), "small") {
		t.Errorf("got the event %.100s with the error %v, want its value", e.Body, e.Err)
	}
}

func TestAnEventIsForThoseWhoWaitForItAndForWhoPays(t *testing.T) {
	s := newScales(t)
	ws := NewWatches(WatchOptions{})
	h := idle(ws, "/a", 0)
	if got := h.wants(); len(got) != 0 {
		t.Errorf("nobody waits, and nobody pays: got %v, want no client", got)
	}
	h.weight.payer = s.one
	if got := h.wants(); len(got) != 1 || got[0] != s.one {
		t.Errorf("nobody waits: got %v, want the client that pays", got)
	}
	h.waiting = []*Watcher{{account: s.other}, {account: s.one}, {}, {account: s.other}}
	if got := h.wants(); len(got) != 2 || !slices.Contains(got, s.one) || !slices.Contains(got, s.other) {
		t.Errorf("both clients wait: got %v, want each once", got)
	}
}

func TestTheClientThatHoldsTheMostMakesRoomForTheEventsOfOthers(t *testing.T) {
	etcd := newEtcd(t)
	s := newScales(t)
	ws := newWatches(t, etcd.URL())
	ws.texts.limit, ws.texts.patience = 1<<20, waitTime
	value := strings.Repeat("0123456789", 15_000)
	var theirs []*taker
	for _, key := range []string{"/a", "/b", "/c"} {
		w, k := s.take(t, ws, s.one, key)
		set(t, etcd, key, value)
		if <-k.bell; w.Result().Err != nil {
			t.Fatalf("the event of %s, which there is room for: got the error %v", key, w.Result().Err)
		}
		theirs = append(theirs, k)
	}
	mine, k := s.take(t, ws, s.other, "/mine")
	set(t, etcd, "/mine", strings.Repeat("0123456789", 30_000))
	<-k.bell
	if err := mine.Result().Err; err != nil {
		t.Fatalf("the event of a client that holds nothing: got the error %v, want the event", err)
	}
	for i, k := range theirs {
		select {
		case <-k.off:
		default:
			t.Errorf("watcher %d of the client that holds the most: got it left alone, want it broken off", i)
		}
	}
	// A client that holds more than all others gets no more at their expense.
	more, l := s.take(t, ws, s.other, "/more")
	set(t, etcd, "/more", strings.Repeat("0123456789", 60_000))
	<-l.bell
	if err := more.Result().Err; !errors.Is(err, errNoRoom) {
		t.Errorf("another event of the client that holds the most: got the error %v, want %v", err, errNoRoom)
	}
	select {
	case <-k.off:
		t.Error("the event that it has: got it broken off, want it left alone")
	default:
	}
}

func TestTheMostIsThatOfANetworkAndThenOfAClient(t *testing.T) {
	s := newScales(t)
	neighbor := s.table.Address(netip.MustParseAddr("192.0.2.2"))
	defer neighbor.Close()
	h := newHoldings()
	h.add(s.one, 1, 16)
	h.add(s.one, 1, 16)
	h.add(neighbor, 1, 16)
	h.add(neighbor, 2, 8)
	h.add(s.other, 3, 20)
	if got := h.most(); got != neighbor {
		t.Errorf("got %v, want %v, which holds the most in the network that does", got, neighbor)
	}
	for _, c := range []struct {
		a, want *account.Account
		exceeds bool
	}{{s.one, s.other, true}, {s.other, s.one, false}, {s.one, s.one, false}, {neighbor, s.one, true}, {s.one, neighbor, false}} {
		if got := h.exceeds(c.a, []*account.Account{c.want}); got != c.exceeds {
			t.Errorf("whether %v exceeds %v: got %t, want %t", c.a, c.want, got, c.exceeds)
		}
	}
}

// TestAFeedBreaksOffTheClientThatHoldsTheMost lets a client watch many keys and streams, and take
// none of its events. The source of a feed does not wait until there is room.
func TestAFeedBreaksOffTheClientThatHoldsTheMost(t *testing.T) {
	s := newScales(t)
	f, _ := newFeed() // a MiB
	large := make([]byte, 200<<10)
	start := func(a *account.Account, stream bool) (*Watcher, *taker) {
		k := &taker{make(bell, 100), make(chan struct{})}
		w := f.Watcher(k, a, stream)
		w.Started(func() {})
		return w, k
	}
	isBroken := func(k *taker) bool {
		select {
		case <-k.off:
			return true
		default:
			return false
		}
	}
	var all []*Watcher
	index := uint64(0)
	send := func(watchers ...*Watcher) {
		index++
		for _, w := range watchers {
			w.Deliver(index, index, large, large)
		}
	}
	mine, me := start(s.other, false)
	equal, too := start(s.other, false)
	send(mine, equal)
	stream, streaming := start(s.one, true)
	all = append(all, mine, equal, stream)
	send(stream)
	send(stream)
	for i := range 2 {
		w, k := start(s.one, false)
		all = append(all, w)
		if send(w); isBroken(k) || isBroken(streaming) {
			t.Fatalf("after %d events of a fifth of the bound: got the client broken off, want it left alone", 4+i)
		}
	}
	w, last := start(s.one, false)
	all = append(all, w)
	send(w)
	if !isBroken(last) || !isBroken(streaming) {
		t.Error("the client that holds the most, when there is no room: got it left alone, want it broken off")
	}
	if isBroken(me) || isBroken(too) {
		t.Error("another client: got it broken off, want it left alone")
	}
	if !stream.Next() {
		t.Error("a stream ended with its first event")
	}
	for _, w := range all {
		w.Close()
	}
	if f.held != 0 || len(f.holders) != 0 {
		t.Errorf("in the end: got %d bytes and %d watchers counted, want none", f.held, len(f.holders))
	}
}
