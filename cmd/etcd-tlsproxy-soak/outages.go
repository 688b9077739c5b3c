package main

import (
	"sync"
	"time"
)

// outages are the times in which etcd was down or stalled: answers may fail then,
// and at no other time.
type outages struct {
	mu    sync.Mutex
	spans []span
}

type span struct{ from, to time.Time }

// begin is called before etcd is touched, end when the proxy has carried a write to
// it again.
func (o *outages) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	// Whoever asks later began at most so long ago.
	for len(o.spans) > 0 && time.Since(o.spans[0].to) > 10*patience {
		o.spans = o.spans[1:]
	}
	o.spans = append(o.spans, span{from: time.Now()})
}

func (o *outages) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spans[len(o.spans)-1].to = time.Now()
}

// excuse reports whether etcd was away at some time between the two.
func (o *outages) excuse(from, to time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.spans {
		if from.Before(s.to) || s.to.IsZero() {
			if to.After(s.from) {
				return true
			}
		}
	}
	return false
}

// during is how much of the time between the two etcd was away.
func (o *outages) during(from, to time.Time) (sum time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.spans {
		begin, end := s.from, s.to
		if end.IsZero() || end.After(to) {
			end = to
		}
		if begin.Before(from) {
			begin = from
		}
		sum += max(0, end.Sub(begin))
	}
	return sum
}

// now reports whether etcd is away.
func (o *outages) now() bool {
	now := time.Now()
	return o.excuse(now, now.Add(1))
}
