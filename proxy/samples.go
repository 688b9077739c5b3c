package proxy

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

// samples are what happened in the last minutes, in samples. Taking one reads some
// hundred counters, so it costs nothing that could be seen, whether anybody looks or
// not.
type samples struct {
	mu   sync.Mutex
	list []sample // the latest last
	seen [2][latencyBuckets]uint64
}

const (
	sampleEvery = 2 * time.Second
	mostSamples = 300 // ten minutes; half a megabyte
)

// sample is the state at one time, and what took how long since the one before.
type sample struct {
	at                   time.Time
	totals               Totals
	took                 [2]taken
	watches, connections int64
	memory               uint64
}

// sample takes samples until ctx ends.
func (s *Server) sample(ctx context.Context) {
	s.takeSample(time.Now())
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.takeSample(now)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) takeSample(now time.Time) {
	live := s.memory.needs().live
	next := sample{at: now, totals: s.totals(), watches: int64(s.watches.count()), connections: s.open.Load(), memory: live}
	h := &s.samples
	h.mu.Lock()
	defer h.mu.Unlock()
	for access := range next.took {
		for i := range next.took[access] {
			n := s.traffic.took[access][i].Load()
			next.took[access][i] = uint32(n - h.seen[access][i])
			h.seen[access][i] = n
		}
	}
	if len(h.list) == mostSamples {
		h.list = h.list[:copy(h.list, h.list[1:])]
	}
	h.list = append(h.list, next)
}

// Point is a value that may be missing, as NaN: the latency of no request.
type Point float64

var none = Point(math.NaN())

// MarshalJSON writes no more digits than can be seen, and none as null.
func (p Point) MarshalJSON() ([]byte, error) {
	if p != p {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, math.Round(float64(p)*1000)/1000, 'f', -1, 64), nil
}

// columns are the samples as curves; the first sample is where the others begin.
func (h *samples) columns() History {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := History{IntervalSeconds: sampleEvery.Seconds()}
	for i := 1; i < len(h.list); i++ {
		before, s := &h.list[i-1], &h.list[i]
		per := rates(before, s)
		c.Times = append(c.Times, s.at.UTC().Truncate(time.Millisecond))
		c.Reads = append(c.Reads, per.Reads)
		c.Writes = append(c.Writes, per.Writes)
		c.Refused = append(c.Refused, per.Refused)
		c.Failed = append(c.Failed, per.Failed)
		c.Events = append(c.Events, per.Events)
		c.ReadP50 = append(c.ReadP50, s.took[0].quantile(.5))
		c.ReadP99 = append(c.ReadP99, s.took[0].quantile(.99))
		c.WriteP50 = append(c.WriteP50, s.took[1].quantile(.5))
		c.WriteP99 = append(c.WriteP99, s.took[1].quantile(.99))
		c.Watches = append(c.Watches, s.watches)
		c.Connections = append(c.Connections, s.connections)
		c.Memory = append(c.Memory, s.memory)
	}
	return c
}

// windows are how far back the summary looks.
var windows = [...]time.Duration{10 * time.Second, time.Minute, 10 * time.Minute}

func (h *samples) summary() []Window {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []Window
	for _, length := range windows {
		w := Window{Seconds: length.Seconds(), ReadP50: none, ReadP99: none, WriteP50: none, WriteP99: none}
		if last := len(h.list) - 1; last > 0 {
			since := h.list[last].at.Add(-length - sampleEvery/2)
			first := slices.IndexFunc(h.list, func(s sample) bool { return s.at.After(since) })
			first = min(first, last-1)
			w.Rates = rates(&h.list[first], &h.list[last])
			var took [2]taken
			for i := first + 1; i <= last; i++ {
				took[0].add(&h.list[i].took[0])
				took[1].add(&h.list[i].took[1])
			}
			w.ReadP50, w.ReadP99 = took[0].quantile(.5), took[0].quantile(.99)
			w.WriteP50, w.WriteP99 = took[1].quantile(.5), took[1].quantile(.99)
		}
		list = append(list, w)
	}
	return list
}

func rates(from, to *sample) Rates {
	seconds := to.at.Sub(from.at).Seconds()
	per := func(a, b uint64) Point { return Point(float64(b-a) / seconds) }
	a, b := &from.totals, &to.totals
	return Rates{
		Reads: per(a.Reads, b.Reads), Writes: per(a.Writes, b.Writes), Refused: per(a.Refused, b.Refused),
		Failed: per(a.Failed, b.Failed), Events: per(a.Events, b.Events), Bytes: per(a.Bytes, b.Bytes),
	}
}
