package proxy

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// latencies counts durations in buckets that are a quarter of an octave wide, from 32
// microseconds to half a minute: a quantile is off by a tenth at most, where the
// histogram of the metrics, whose buckets have to be few, is off by the half.
type latencies [latencyBuckets]atomic.Uint64

const (
	firstOctave    = 5 // 2^5 microseconds; all below is in the first bucket
	perOctave      = 4
	latencyBuckets = 20 * perOctave
)

func (l *latencies) observe(d time.Duration) { l[latencyBucket(d)].Add(1) }

func latencyBucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 1<<firstOctave))
	octave := bits.Len64(us) - 1
	return min((octave-firstOctave)*perOctave+int(us>>(octave-2)&3), latencyBuckets-1)
}

// latencyFrom is where a bucket begins, in milliseconds.
func latencyFrom(bucket int) float64 {
	if bucket == 0 {
		return 0
	}
	return float64(uint64(perOctave+bucket%perOctave)<<(firstOctave+bucket/perOctave-2)) / 1000
}

// taken is how many durations came into each bucket in some time.
type taken [latencyBuckets]uint32

func (t *taken) add(other *taken) {
	for i, n := range other {
		t[i] += n
	}
}

// quantile is in milliseconds; none if there were no durations.
func (t *taken) quantile(q float64) Point {
	total := 0.0
	for _, n := range t {
		total += float64(n)
	}
	if total == 0 {
		return none
	}
	rank := q * total
	for i, n := range t {
		if rank <= float64(n) && n > 0 {
			from := latencyFrom(i)
			return Point(from + (latencyFrom(i+1)-from)*rank/float64(n))
		}
		rank -= float64(n)
	}
	return Point(latencyFrom(latencyBuckets))
}
