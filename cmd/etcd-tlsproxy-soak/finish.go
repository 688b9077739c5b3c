package main

import (
	"fmt"
	"time"
)

// finish checks what is left when the work is done: a last event in each folder must
// reach all watchers, and etcd must hold what was acknowledged and nothing else.
func (s *soak) finish() error {
	a := &actor{world: s.world, kind: "end", random: s.source(), via: s.prober}
	for i, l := range s.ledgers {
		if index := a.lastEvent(l, i); index > 0 {
			again := time.Now().Add(time.Second)
			s.await("the last event is heard by all", patience, func() error {
				err := l.heardBy(index)
				// Who began to watch after it, and without an index, waits for another one.
				if err != nil && time.Now().After(again) {
					again = time.Now().Add(time.Second)
					a.lastEvent(l, i)
				}
				return err
			})
		}
		l.close()
	}
	for _, check := range []func(*world) error{s.counters.check, s.posts.checkAll, (*world).checkRefused} {
		if err := check(s.world); err != nil {
			return fmt.Errorf("checking etcd: %w", err)
		}
	}
	for _, r := range []*request{{method: "GET", target: "/soak/tagged?recursive=true&quorum=true"}, {method: "GET", target: "/soak/tagged?recursive=true"}} {
		a.readOne(r, -1)
	}
	return s.checkAudit("audit")
}

// lastEvent writes until etcd takes it, and returns the event's index, or 0.
func (a *actor) lastEvent(l *ledger, folder int) uint64 {
	for n := range 100 {
		if index, _ := a.writeWatchedOnce(l, fmt.Sprintf("last-%d-%d", folder, n)); index > 0 {
			return index
		}
	}
	a.tally.mismatch("end", "%s takes no last event", l.folder)
	return 0
}

// heardBy says who has not heard of an event yet.
func (l *ledger) heardBy(index uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.followers {
		if f.last+1 == 0 || f.last < index {
			return fmt.Errorf("%s is at %d, and the event is %d", f.who, f.last, index)
		}
	}
	return nil
}

// Tolerances of what a proxy without clients may hold beyond what it held at first.
const (
	moreGoroutines  = 8
	moreDescriptors = 8
	moreMemory      = 64 << 20
)

// leave waits until the proxy has let everything of its clients go.
func (s *soak) leave(r *report) {
	for limit := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		now, err := s.front.figures()
		if err != nil {
			s.tally.mismatch("end", "%v", err)
			return
		}
		r.End = now
		if now.Goroutines <= r.Start.Goroutines+moreGoroutines && now.Descriptors <= r.Start.Descriptors+moreDescriptors && now.Connections == 0 && now.Watches == 0 {
			break
		}
		if time.Now().After(limit) {
			s.tally.mismatch("end", "%v after the last client left the proxy holds %+v, and had %+v at first", patience, now, r.Start)
			break
		}
	}
	if most := 2*r.Start.Memory + moreMemory; r.End.Memory > most {
		s.tally.mismatch("end", "the proxy has %d MiB of memory, and should have at most %d", r.End.Memory>>20, most>>20)
	}
}
