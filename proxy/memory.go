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
// too. What is collected as garbage does not count as long as Go's own limit, which is
// set to the same, makes the collector keep up; it gives way where to collect would
// take more than half of the processors.
type memory struct {
	limit uint64
	needs func() usage
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

	// beyondPercent is of what Go has from the kernel: a little above its own limit,
	// so that garbage comes faster than it is collected.
	beyondPercent = 110
)

// usage is what a process needs, in bytes, as of the last collection of garbage; what
// it has from the kernel now; and how many collections there were.
type usage struct{ live, mapped, collections uint64 }

// memoryLook is how often it is looked at: a hundred megabytes cannot come through TLS
// in that time, and a look costs some microseconds.
const memoryLook = 50 * time.Millisecond

// collectAfter is after how many looks without one a collection is asked for: a second.
const collectAfter = int(time.Second / memoryLook)

// sheds is how many silent connections are ended at each look while memory is short.
const sheds = 50

func newMemory(limit uint64, shed func(most int) int, shown prometheus.Gauge) *memory {
	return &memory{limit: limit, needs: ownUsage, shed: shed, shown: shown}
}

// ownUsage is this process's.
func ownUsage() usage {
	samples := [...]metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(samples[:])
	n := func(i int) uint64 { return samples[i].Value.Uint64() }
	return usage{live: n(0) + n(1), mapped: n(2) - n(3), collections: n(4)}
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
	now := m.needs()
	level := memoryFree
	switch percent := now.live * 100 / m.limit; {
	case percent >= fullPercent, now.mapped*100/m.limit >= beyondPercent:
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
	if m.since++; now.collections != m.collections {
		m.collections, m.since = now.collections, 0
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
