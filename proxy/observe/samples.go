package observe

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

// samples holds the traffic of the last minutes. A sample reads some hundred counters,
// which is so cheap that samples are always recorded, whether or not anyone reads the
// status.
type samples struct {
	mu   sync.Mutex
	list []sample // the latest last
	seen struct{ clients, etcd seen }
}

const (
	sampleEvery = 2 * time.Second
	maxSamples  = 300 // ten minutes; half a megabyte
)

// Gauges are the values of the server that samples record.
type Gauges struct {
	// Watches and Connections are the open ones.
	Watches, Connections int64
	// Memory is the memory that the process needs, in bytes.
	Memory uint64
	// Limits is the highest use of limits since the last sample.
	Limits []LimitUse
}

// LimitUse is the use of a limit; see [LimitStatus].
type LimitUse struct {
	Name string
	Used int64
}

// sample is the state at one time, and the durations since the previous sample.
type sample struct {
	at        time.Time
	totals    Totals
	durations [2]latencySnapshot
	etcd      [2]latencySnapshot // of requests to etcd
	gauges    Gauges
}

// seen is what was counted at the previous sample.
type seen [2][latencyBuckets]uint64

// since returns the durations since the last call.
func (s *seen) since(t *times) (list [2]latencySnapshot) {
	for access := range t {
		for i := range t[access] {
			n := t[access][i].Load()
			list[access][i] = uint32(n - s[access][i])
			s[access][i] = n
		}
	}
	return list
}

// Sample records samples until ctx ends. It reads the gauges for each.
func (o *Observer) Sample(ctx context.Context, gauges func() Gauges) {
	o.record(time.Now(), gauges())
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			o.record(now, gauges())
		case <-ctx.Done():
			return
		}
	}
}

func (o *Observer) record(now time.Time, gauges Gauges) {
	next := sample{at: now, totals: o.totals(), gauges: gauges}
	h := &o.samples
	h.mu.Lock()
	defer h.mu.Unlock()
	next.durations, next.etcd = h.seen.clients.since(&o.traffic.durations), h.seen.etcd.since(&o.Metrics.upstreamTimes)
	if len(h.list) == maxSamples {
		h.list = h.list[:copy(h.list, h.list[1:])]
	}
	h.list = append(h.list, next)
}

// addHighest sets the highest use of limits in the last minutes.
func (h *samples) addHighest(limits []LimitStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	highest := make(map[string]int64)
	for i := range h.list {
		for _, l := range h.list[i].gauges.Limits {
			highest[l.Name] = max(highest[l.Name], l.Used)
		}
	}
	for i := range limits {
		l := &limits[i]
		l.setHighest(max(l.Used, highest[l.Name]))
	}
}

// Float is a value that may be missing. A missing value is NaN, and null in JSON: for
// example the latency where there was no request.
type Float float64

var missing = Float(math.NaN())

// MarshalJSON writes three decimals, and null for a missing value.
func (f Float) MarshalJSON() ([]byte, error) {
	if f != f {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, math.Round(float64(f)*1000)/1000, 'f', -1, 64), nil
}

// columns returns the samples as curves. The first sample is only the base of the second.
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
		c.ReadP50 = append(c.ReadP50, s.durations[0].quantile(.5))
		c.ReadP99 = append(c.ReadP99, s.durations[0].quantile(.99))
		c.WriteP50 = append(c.WriteP50, s.durations[1].quantile(.5))
		c.WriteP99 = append(c.WriteP99, s.durations[1].quantile(.99))
		c.Watches = append(c.Watches, s.gauges.Watches)
		c.Connections = append(c.Connections, s.gauges.Connections)
		c.Memory = append(c.Memory, s.gauges.Memory)
	}
	return c
}

// windows are the lengths of time that the summary covers.
var windows = [...]time.Duration{10 * time.Second, time.Minute, 10 * time.Minute}

func (h *samples) summary() []Window {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []Window
	for _, length := range windows {
		w := Window{Seconds: length.Seconds(), ReadP50: missing, ReadP99: missing, WriteP50: missing, WriteP99: missing, EtcdReadP99: missing, EtcdWriteP99: missing}
		if last := len(h.list) - 1; last > 0 {
			start := h.list[last].at.Add(-length - sampleEvery/2)
			first := slices.IndexFunc(h.list, func(s sample) bool { return s.at.After(start) })
			first = min(first, last-1)
			w.Rates = rates(&h.list[first], &h.list[last])
			var durations, etcd [2]latencySnapshot
			for i := first + 1; i <= last; i++ {
				for access := range durations {
					durations[access].add(&h.list[i].durations[access])
					etcd[access].add(&h.list[i].etcd[access])
				}
			}
			w.ReadP50, w.ReadP99 = durations[0].quantile(.5), durations[0].quantile(.99)
			w.WriteP50, w.WriteP99 = durations[1].quantile(.5), durations[1].quantile(.99)
			w.EtcdReadP99, w.EtcdWriteP99 = etcd[0].quantile(.99), etcd[1].quantile(.99)
		}
		list = append(list, w)
	}
	return list
}

func rates(from, to *sample) Rates {
	seconds := to.at.Sub(from.at).Seconds()
	per := func(a, b uint64) Float { return Float(float64(b-a) / seconds) }
	a, b := &from.totals, &to.totals
	return Rates{
		Reads: per(a.Reads, b.Reads), Writes: per(a.Writes, b.Writes), Refused: per(a.Refused, b.Refused),
		Failed: per(a.Failed, b.Failed), Events: per(a.Events, b.Events), Bytes: per(a.Bytes, b.Bytes),
	}
}
