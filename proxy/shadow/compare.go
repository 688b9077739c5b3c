package shadow

import (
	"fmt"
	"slices"
	"time"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

const (
	// maxWaiting is how many samples wait for the tree.
	maxWaiting = 8192
	// maxWait is how long a sample waits.
	maxWait = 10 * time.Second
	// sweepPeriod is how often it is looked whether one has waited for too long.
	sweepPeriod = 100 * time.Millisecond
)

// compareAll looks at what is handed over.
func (s *Shadow) compareAll() {
	sweep := time.NewTicker(sweepPeriod)
	defer sweep.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case a := <-s.inbox:
			if a.read() {
				s.admit(a)
			}
		case now := <-sweep.C:
			s.sweep()
			s.tell(now)
		}
	}
}

// admit compares a sample, or lets it wait for its index.
func (s *Shadow) admit(a *Sample) {
	if a.invalid != nil || a.answer.Code >= 200 { // which depends on no tree
		a.compareForms()
		return
	}
	known := s.store.View(func(m *mirror.Mirror) {
		s.mu.Lock()
		defer s.mu.Unlock()
		p := &s.place
		switch {
		case s.lost != "":
			a.Skip(Behind)
		case a.executed():
			if a.index <= p.index {
				a.Skip(Late)
				return
			}
			s.wait(a)
		case a.index > p.settled:
			s.wait(a)
		case a.index >= p.index, p.untouched(a.op.Key, a.index):
			a.compare(p, m.Tree)
		default:
			a.Skip(Late)
		}
	})
	if !known {
		a.Skip(Behind)
	}
}

// wait lets a sample wait for its index; s.mu is held.
func (s *Shadow) wait(a *Sample) {
	if len(s.waiting) >= maxWaiting {
		a.Skip(Behind)
		return
	}
	i, _ := slices.BinarySearchFunc(s.waiting, a.index+1, func(other *Sample, index uint64) int {
		if other.index < index {
			return -1
		}
		return 1
	})
	s.waiting = slices.Insert(s.waiting, i, a)
}

// take returns those that wait for an index up to a last one; s.mu is held.
func (s *Shadow) take(last uint64) []*Sample {
	n := 0
	for n < len(s.waiting) && s.waiting[n].index <= last {
		n++
	}
	taken := slices.Clone(s.waiting[:n])
	s.waiting = slices.Delete(s.waiting, 0, n)
	return taken
}

// compareBefore compares what depends on the tree just before the event at an index; s.mu is held. No other event
// precedes it.
func (s *Shadow) compareBefore(m *mirror.Mirror, index uint64) {
	for _, a := range s.take(index) {
		switch {
		case a.executed() && a.index == index:
			a.compareExecuted(&s.place, m.Tree)
		case a.executed(): // which has no event
			a.Skip(Refresh)
		case a.index < index:
			a.compare(&s.place, m.Tree)
		default:
			s.wait(a) // for what the event makes of the tree
		}
	}
}

// compareUpTo compares what depends on a tree that has all events up to an index; s.mu is held.
func (s *Shadow) compareUpTo(m *mirror.Mirror, index uint64) {
	for _, a := range s.take(index) {
		if a.executed() {
			a.Skip(Late)
			continue
		}
		a.compare(&s.place, m.Tree)
	}
}

// settle takes note that there is no event behind an index, up to another one.
func (s *Shadow) settle(after, last uint64) {
	s.store.View(func(m *mirror.Mirror) {
		s.mu.Lock()
		defer s.mu.Unlock()
		p := &s.place
		if p.generation == "" || after > p.index || last <= p.index {
			return
		}
		p.settled, p.gap = max(p.settled, last), last
		for _, a := range s.take(last) {
			if a.executed() {
				s.wait(a)
				continue
			}
			a.compare(p, m.Tree)
		}
	})
}

// sweep drops what has waited for too long, and asks for what is missing.
func (s *Shadow) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.waiting)
	s.waiting = slices.DeleteFunc(s.waiting, func(a *Sample) bool {
		late := time.Since(a.ended) > maxWait
		if late {
			a.Skip(Behind)
		}
		return late
	})
	if before > 0 {
		s.reader.ask()
	}
}

// tellPeriod is how often commands are told of comparisons. They are told of differences, and of a copy that is lost, at once.
const tellPeriod = 10 * time.Second

// tell tells commands what has come of comparisons.
func (s *Shadow) tell(now time.Time) {
	st := s.Status()
	next := layout.Shadow{Index: st.Index, Compared: st.ComparedReads + st.ComparedWrites, Skipped: st.Skipping(), Differences: st.Differing(), Reason: st.Reason}
	same := next.Differences == s.told.Differences && next.Reason == s.told.Reason
	if next == s.told || same && now.Sub(s.toldAt) < tellPeriod {
		return
	}
	s.told, s.toldAt = next, now
	s.store.Tell(&next)
}

// skipWaiting drops all that wait; s.mu is held.
func (s *Shadow) skipWaiting(why Reason) {
	for _, a := range s.take(^uint64(0)) {
		a.Skip(why)
	}
}

// describe names an error of etcd without its cause, which may have a value.
func describe(code int, message string) string { return fmt.Sprintf("%d (%s)", code, message) }
