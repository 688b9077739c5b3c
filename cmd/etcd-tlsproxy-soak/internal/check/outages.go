package check

import (
	"sync"
	"time"
)

// maxRequestAge bounds the age of the requests whose failure an outage can explain. Older
// outages are forgotten.
const maxRequestAge = 400 * time.Second

// Outages are the times in which etcd was down or stalled. Requests may fail in them,
// and at no other time.
type Outages struct {
	mu    sync.Mutex
	spans []span
}

// span is one outage; to is zero while it lasts.
type span struct{ from, to time.Time }

// Start begins an outage. It is called before etcd is touched.
func (o *Outages) Start() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.spans) > 0 && time.Since(o.spans[0].to) > maxRequestAge {
		o.spans = o.spans[1:]
	}
	o.spans = append(o.spans, span{from: time.Now()})
}

// End ends the outage. It is called when the proxy has carried a write to etcd again.
func (o *Outages) End() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spans[len(o.spans)-1].to = time.Now()
}

// Overlap reports whether there was an outage between two times.
func (o *Outages) Overlap(from, to time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.spans {
		if (s.to.IsZero() || from.Before(s.to)) && to.After(s.from) {
			return true
		}
	}
	return false
}

// Duration returns how much of the time between two times was an outage.
func (o *Outages) Duration(from, to time.Time) (sum time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.spans {
		start, end := s.from, s.to
		if end.IsZero() || end.After(to) {
			end = to
		}
		if start.Before(from) {
			start = from
		}
		sum += max(0, end.Sub(start))
	}
	return sum
}

// Ongoing reports whether there is an outage now.
func (o *Outages) Ongoing() bool {
	now := time.Now()
	return o.Overlap(now, now.Add(1))
}
