package observe

import (
	"math/bits"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/acl"
)

// traffic counts answered requests for the status. Prometheus reads [Metrics].
type traffic struct {
	reads, writes, watches atomic.Uint64
	refused, failed        atomic.Uint64
	bytes                  atomic.Uint64
	durations              times // without watches
}

// times counts durations by acl.Access.
type times [2]latencies

func (t *traffic) count(r *Record, duration time.Duration) {
	switch {
	case r.Op.Watch:
		t.watches.Add(1)
	case r.Op.Access == acl.Read:
		t.reads.Add(1)
	default:
		t.writes.Add(1)
	}
	switch {
	case r.Status >= 500:
		t.failed.Add(1)
	case r.Refusal != nil:
		t.refused.Add(1)
	}
	t.bytes.Add(uint64(r.Bytes))
	if !r.Op.Watch {
		t.durations[r.Op.Access].observe(duration)
	}
}

// latencies counts durations in buckets that are a quarter of an octave wide, from 32
// microseconds to half a minute. A quantile is off by a tenth at most. The histogram of
// the metrics must have few buckets, and is off by up to a half.
type latencies [latencyBuckets]atomic.Uint64

const (
	firstOctave    = 5 // 2^5 microseconds; shorter durations are in the first bucket
	perOctave      = 4
	latencyBuckets = 20 * perOctave
)

func (l *latencies) observe(d time.Duration) { l[latencyBucket(d)].Add(1) }

func latencyBucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 1<<firstOctave))
	octave := bits.Len64(us) - 1
	return min((octave-firstOctave)*perOctave+int(us>>(octave-2)&3), latencyBuckets-1)
}

// latencyFrom returns the lower bound of a bucket, in milliseconds.
func latencyFrom(bucket int) float64 {
	if bucket == 0 {
		return 0
	}
	return float64(uint64(perOctave+bucket%perOctave)<<(firstOctave+bucket/perOctave-2)) / 1000
}

// latencySnapshot is the number of durations in each bucket during some time.
type latencySnapshot [latencyBuckets]uint32

func (l *latencySnapshot) add(other *latencySnapshot) {
	for i, n := range other {
		l[i] += n
	}
}

// quantile returns a quantile in milliseconds, or missing if there were no durations.
func (l *latencySnapshot) quantile(q float64) Float {
	total := 0.0
	for _, n := range l {
		total += float64(n)
	}
	if total == 0 {
		return missing
	}
	rank := q * total
	for i, n := range l {
		if rank <= float64(n) && n > 0 {
			from := latencyFrom(i)
			return Float(from + (latencyFrom(i+1)-from)*rank/float64(n))
		}
		rank -= float64(n)
	}
	return Float(latencyFrom(latencyBuckets))
}
