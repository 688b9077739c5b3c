package share

import (
	"net/netip"
	"testing"

	"etcd-tlsproxy/proxy/account"
)

func TestAFeedCountsTheEventsOfMoreThan4KiBUntilTheyAreTaken(t *testing.T) {
	s := newScales(t)
	for size, want := range map[int]int64{4096: 0, 4097: 4097} {
		f, _ := newFeed()
		w, same := f.Watcher(make(woken, 10), s.one, false), f.Watcher(make(woken, 10), s.other, false)
		for _, w := range []*Watcher{w, same} {
			w.Deliver(1, 1, make([]byte, size), make([]byte, size))
		}
		holders := 0
		if want > 0 {
			holders = 2
		}
		if f.held != want || len(f.holders) != holders || (len(w.fed.events(w)) > 0) != (want > 0) {
			t.Errorf("an event of %d bytes that two clients have: got %d bytes and %d clients counted, want %d and %d", size, f.held, len(f.holders), want, holders)
		}
		w.Close()
		if f.held != want {
			t.Errorf("an event of %d bytes that one of two clients has taken: got %d bytes counted, want %d", size, f.held, want)
		}
		same.Close()
		if f.held != 0 || len(f.holders) != 0 {
			t.Errorf("an event of %d bytes that all have taken: got %d bytes and %d clients counted, want none", size, f.held, len(f.holders))
		}
	}
}

func TestAFeedBreaksOffNoMoreThanItMust(t *testing.T) {
	s := newScales(t)
	third := s.table.Address(netip.MustParseAddr("203.0.113.1"))
	defer third.Close()
	f, _ := newFeed()
	f.limit = 100 << 10
	var takers []*taker
	for i, c := range []struct {
		client *account.Account
		size   int
	}{{s.one, 60 << 10}, {s.other, 40 << 10}, {third, 80 << 10}} {
		k := &taker{make(bell, 10), make(chan struct{})}
		w := f.Watcher(k, c.client, false)
		defer w.Close()
		w.Deliver(i, uint64(i), make([]byte, c.size), make([]byte, c.size))
		takers = append(takers, k)
	}
	for i, want := range []bool{false, false, true} {
		broken := false
		select {
		case <-takers[i].off:
			broken = true
		default:
		}
		if broken != want {
			t.Errorf("client %d of three, of which the others fill the bound: got broken off %t, want %t", i+1, broken, want)
		}
	}
}
