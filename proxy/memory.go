package proxy

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane/std"
	"etcd-tlsproxy/proxy/observe"
)

// memory compares what the process needs with a limit, so that the kernel has no reason to
// end the process. When memory is short, it takes back what clients above their share hold,
// and refuses what they ask for; clients with little are served longer. Garbage does not
// count: Go's own limit is set to the same value and makes the collector keep up. But Go
// exceeds its limit rather than spend more than half of the processor time on collecting.
type memory struct {
	limit   uint64
	read    func() usage
	ledger  ledger
	publish func(level int)
	level   atomic.Int32

	// setPace says how much garbage may gather before it is collected, as a percentage of
	// what is live. It is nil if the operator has said so, by GOGC.
	setPace func(percent int) int
	pace    int // what was said last

	taken        atomic.Int64 // bytes that were taken back since the start
	promised     int64        // bytes that were taken back since the last collection
	nextReclaim  time.Time    // when bytes may be taken back again
	collections  uint64       // garbage collections at the last poll
	pollsSinceGC int
}

// ledger says what clients hold of the memory; see [account.Ledger].
type ledger interface {
	Modest(*account.Account) bool
	Reclaim(bytes int64) int64
	Held() int64
	Top(limit int) []account.MemoryHolding
}

// The levels, and the percentage of the limit at which each begins. Writes have the memory
// between the first two, and clients below their share have all of it.
const (
	memoryFree  = iota
	memoryShort // reads of clients above their share are refused
	memoryFull  // everything that clients above their share ask for is refused
	memoryOut   // everything is refused

	shortPercent = 80
	fullPercent  = 92
	outPercent   = 100

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

// maxPollsWithoutGC is how many polls, a second's, pass before a garbage collection is forced.
const maxPollsWithoutGC = int(time.Second / memoryPoll)

// reclaimShare is the share of the limit, as a divisor, that is taken back at each poll: all of
// it in ten seconds. reclaimPart is the part of the time in which memory is taken back at most.
const (
	reclaimShare = 200
	reclaimPart  = 5
)

// minHeap is the size, in bytes, that the heap may reach before garbage is collected, however
// little of it is live. With Go's default, a proxy with few clients would collect after every few
// dozen handshakes, and each collection delays the requests of that moment.
const minHeap = 32 << 20

// The least and the greatest percentage of what is live that may gather as garbage. The least is
// Go's default.
const (
	minPace = 100
	maxPace = 800
)

// paceFor returns the percentage of what is live that may gather as garbage in a heap that may
// reach a size anyway. It is a power of two times the least one, so that it changes rarely:
// a change stops the process for a moment.
func paceFor(live, size uint64) int {
	pace := minPace
	for pace < maxPace && live*uint64(100+2*pace)/100 <= size {
		pace *= 2
	}
	return pace
}

// newMemory returns the memory of this process.
func newMemory(limit uint64, read func() usage, l ledger, publish func(level int)) *memory {
	m := &memory{limit: limit, read: read, ledger: l, publish: publish}
	if os.Getenv("GOGC") == "" {
		m.setPace = debug.SetGCPercent
	}
	return m
}

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
	if pace := paceFor(now.live, min(minHeap, m.limit/4)); m.setPace != nil && pace != m.pace {
		m.setPace(pace)
		m.pace = pace
	}
	level := memoryFree
	switch percent := now.live * 100 / m.limit; {
	case percent >= outPercent, now.mapped*100/m.limit >= mappedPercent:
		level = memoryOut
	case percent >= fullPercent:
		level = memoryFull
	case percent >= shortPercent:
		level = memoryShort
	}
	m.level.Store(int32(level))
	m.publish(level)
	if level == memoryFree {
		return
	}
	if m.pollsSinceGC++; now.collections != m.collections {
		m.collections, m.pollsSinceGC, m.promised = now.collections, 0, 0
	}
	// What was taken back since the last collection is still counted as live.
	if excess := int64(now.live) - int64(m.limit*shortPercent/100) - m.promised; excess >= 0 {
		m.reclaim(min(excess, int64(m.limit/reclaimShare)))
	}
	// While everything is refused nothing is allocated, so the collection that would
	// reveal free memory might never run. Force one.
	if m.pollsSinceGC >= maxPollsWithoutGC {
		m.pollsSinceGC = 0
		runtime.GC()
	}
}

// reclaim takes back some bytes, unless that would use more than a fifth of a processor: many thousand
// clients may have to be looked at.
func (m *memory) reclaim(bytes int64) {
	began := time.Now()
	if began.Before(m.nextReclaim) {
		return
	}
	taken := m.ledger.Reclaim(max(1, bytes))
	m.promised += taken
	m.taken.Add(taken)
	m.nextReclaim = began.Add(reclaimPart * time.Since(began))
}

// admits reports whether there is memory for one more operation of a client.
func (m *memory) admits(p *gate.Peer, access acl.Access) bool {
	switch m.level.Load() {
	case memoryFree:
		return true
	case memoryShort:
		return access == acl.Write || m.ledger.Modest(p.Account)
	case memoryFull:
		return m.ledger.Modest(p.Account)
	}
	return false
}

// accepts reports whether there is memory for another connection of a client.
func (m *memory) accepts(a *account.Account) bool {
	switch m.level.Load() {
	case memoryFull:
		return m.ledger.Modest(a)
	case memoryOut:
		return false
	}
	return true
}

// maxMemoryHolders bounds the listed accounts.
const maxMemoryHolders = 10

func (m *memory) status() observe.MemoryStatus {
	level := [...]string{"free", "short", "full", "out"}[m.level.Load()]
	s := observe.MemoryStatus{
		Live: m.read().live, Limit: m.limit, Level: level, Goroutines: runtime.NumGoroutine(),
		Held: m.ledger.Held(), Taken: m.taken.Load(),
	}
	for _, h := range m.ledger.Top(maxMemoryHolders) {
		s.Largest = append(s.Largest, observe.PoolHolder{Account: h.Account, Network: h.Network, Used: h.Bytes, Known: h.Proved})
	}
	return s
}

// streamShare is the share of the memory, as a divisor, that streams of HTTP/2 can use, and
// minStreams the number of streams that are possible in any case.
const (
	streamShare = 4
	minStreams  = 100
)

// streamsOf returns the options of the pool of streams; maxMemory is 0 if there is no limit.
func streamsOf(maxMemory uint64) account.Options {
	o := account.Options{Name: "streams", Unit: account.LeaseUnit, Bytes: account.LeaseUnit, Total: math.MaxInt32, ForNewcomers: true}
	if maxMemory > 0 {
		o.Total = max(minStreams*std.StreamBytes, int64(maxMemory/streamShare)) / account.LeaseUnit
	}
	o.Reserve = o.Total / 8
	return o
}
