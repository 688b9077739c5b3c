package proxy

import (
	"context"
	"math"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane/std"
	"etcd-tlsproxy/proxy/observe"
)

// memory compares what the process needs with a limit, so that the kernel has no reason to
// end the process. When memory is short, reads are refused first, then writes and new
// connections too. Garbage does not count: Go's own limit is set to the same value and
// makes the collector keep up. But Go exceeds its limit rather than spend more than half of
// the processor time on collecting.
type memory struct {
	limit   uint64
	read    func() usage
	shed    func(limit int64) int64 // [account.Pool.Reclaim] of the connections
	publish func(level int)
	level   atomic.Int32

	collections  uint64 // garbage collections at the last poll
	pollsSinceGC int
}

// The levels, and the percentage of the limit at which each begins. The memory between the
// two percentages is reserved for writes.
const (
	memoryFree  = iota
	memoryShort // reads are refused
	memoryFull  // all requests are refused

	shortPercent = 80
	fullPercent  = 92

	// mappedPercent is the percentage of the limit that the memory mapped by Go may reach.
	// It is a little above Go's own limit, so it is reached only if garbage is produced
	// faster than it is collected.
	mappedPercent = 110
)

// usage holds the bytes that were in use at the last garbage collection, the bytes that are
// mapped now, and the number of garbage collections.
type usage struct{ live, mapped, collections uint64 }

// memoryPoll is the interval of the polls. Less than a hundred megabytes can arrive over
// TLS in that time, and a poll costs some microseconds.
const memoryPoll = 50 * time.Millisecond

// maxPollsWithoutGC is the number of polls without a garbage collection after which one is
// forced: a second.
const maxPollsWithoutGC = int(time.Second / memoryPoll)

// shedBatch is the number of connections that are closed at each poll while memory is short,
// at most: those of clients above their share, and idle ones.
const shedBatch = 50

// readUsage returns the usage of this process.
func readUsage() usage {
	samples := [...]metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(samples[:])
	n := func(i int) uint64 { return samples[i].Value.Uint64() }
	return usage{live: n(0) + n(1), mapped: n(2) - n(3), collections: n(4)}
}

// run polls until ctx ends.
func (m *memory) run(ctx context.Context) {
	if m.limit == 0 {
		return
	}
	tick := time.NewTicker(memoryPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.poll()
		case <-ctx.Done():
			return
		}
	}
}

func (m *memory) poll() {
	now := m.read()
	level := memoryFree
	switch percent := now.live * 100 / m.limit; {
	case percent >= fullPercent, now.mapped*100/m.limit >= mappedPercent:
		level = memoryFull
	case percent >= shortPercent:
		level = memoryShort
	}
	m.level.Store(int32(level))
	m.publish(level)
	if level == memoryFree {
		return
	}
	m.shed(shedBatch)
	// While everything is refused nothing is allocated, so the collection that would
	// reveal free memory might never run. Force one.
	if m.pollsSinceGC++; now.collections != m.collections {
		m.collections, m.pollsSinceGC = now.collections, 0
	}
	if m.pollsSinceGC >= maxPollsWithoutGC {
		m.pollsSinceGC = 0
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

// full reports whether there is no memory for another connection.
func (m *memory) full() bool { return m.level.Load() == memoryFull }

func (m *memory) status() observe.MemoryStatus {
	level := [...]string{"free", "short", "full"}[m.level.Load()]
	return observe.MemoryStatus{Live: m.read().live, Limit: m.limit, Level: level, Goroutines: runtime.NumGoroutine()}
}

// streamShare is the share of the memory, as a divisor, that streams of HTTP/2 can use, and
// minStreams the number of streams that are possible in any case.
const (
	streamShare = 4
	minStreams  = 100
)

// streamsOf returns the options of the pool of streams; maxMemory is 0 if there is no limit.
func streamsOf(maxMemory uint64) account.Options {
	o := account.Options{Name: "streams", Unit: account.LeaseUnit, Total: math.MaxInt32, ForNewcomers: true}
	if maxMemory > 0 {
		o.Total = max(minStreams*std.StreamBytes, int64(maxMemory/streamShare)) / account.LeaseUnit
	}
	o.Reserve = o.Total / 8
	return o
}
