package proxy

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"etcd-tlsproxy/acl"
)

// memory watches what the process really needs against a limit, and keeps it from
// being ended by the kernel: first reads are refused, then writes and new connections
// too. What is collected as garbage does not count; Go's own limit, which is set to
// the same, makes the collector keep up.
type memory struct {
	limit uint64
	needs func() (live, collections uint64)
	shed  func(most int) int
	level atomic.Int32
	shown prometheus.Gauge // the level

	collections uint64 // of garbage, when it was last looked at
	since       int    // looks since there was one
}

// The levels, and from which share of the limit on they hold, in percent. Between the
// two is the share that is reserved for writes.
const (
	memoryFree  = iota
	memoryShort // reads are refused
	memoryFull  // all are

	shortPercent = 80
	fullPercent  = 92
)

// memoryLook is how often it is looked at: a hundred megabytes cannot come through TLS
// in that time, and a look costs some microseconds.
const memoryLook = 50 * time.Millisecond

// collectAfter is after how many looks without one a collection is asked for: a second.
const collectAfter = int(time.Second / memoryLook)

// sheds is how many silent connections are ended at each look while memory is short.
const sheds = 50

func newMemory(limit uint64, shed func(most int) int, shown prometheus.Gauge) *memory {
	return &memory{limit: limit, needs: liveBytes, shed: shed, shown: shown}
}

// liveBytes is what the last collection of garbage left, and the stacks, in bytes.
func liveBytes() (live, collections uint64) {
	samples := [...]metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(samples[:])
	return samples[0].Value.Uint64() + samples[1].Value.Uint64(), samples[2].Value.Uint64()
}

// watch looks until ctx ends.
func (m *memory) watch(ctx context.Context) {
	if m.limit == 0 {
		return
	}
	tick := time.NewTicker(memoryLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.look()
		case <-ctx.Done():
			return
		}
	}
}

func (m *memory) look() {
	live, collections := m.needs()
	level := memoryFree
	switch percent := live * 100 / m.limit; {
	case percent >= fullPercent:
		level = memoryFull
	case percent >= shortPercent:
		level = memoryShort
	}
	m.level.Store(int32(level))
	m.shown.Set(float64(level))
	if level == memoryFree {
		return
	}
	m.shed(sheds)
	// Who is refused allocates nothing, so the next collection, which alone can show that
	// there is memory again, might not come.
	if m.since++; collections != m.collections {
		m.collections, m.since = collections, 0
	}
	if m.since >= collectAfter {
		m.since = 0
		runtime.GC()
	}
}

// admits reports whether there is memory for one more operation.
func (m *memory) admits(access acl.Access) bool {
	switch m.level.Load() {
	case memoryFree:
		return true
	case memoryShort:
		return access == acl.Write
	}
	return false
}

// full reports whether there is none left for a connection.
func (m *memory) full() bool { return m.level.Load() == memoryFull }
