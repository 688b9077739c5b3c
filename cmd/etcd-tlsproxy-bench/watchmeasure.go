package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// watchSample is the cost of watching, and its speed.
type watchSample struct {
	Last        float64 // microseconds until the event has reached the last watcher, the median of the events
	P50         float64 // of all watchers
	Seconds     float64 // for all events, with reading and watching again
	Memory      float64 // bytes of proxy and etcd together, while all clients watch
	Connections float64 // of etcd, while all clients watch
	CPU         float64 // of the proxy, in milliseconds, for all events
	UpstreamCPU float64 // of etcd
}

const (
	// maxWatchRounds bounds the rounds when proxies of several kinds are compared. A
	// round takes long, because memory that was used once stays with its process: each
	// round starts all processes anew. Builds differ by less, and get all their rounds.
	maxWatchRounds = 3
	// maxWatchTime bounds one measurement.
	maxWatchTime = 5 * time.Minute
)

// compareWatches measures the contenders in turn, each with an etcd of its own.
func (s *settings) compareWatches(ctx context.Context, sc *scenario) (*comparison, error) {
	c := newComparison(sc, s.builds)
	list := s.selectContenders(sc, c)
	load := *sc.watch
	switch {
	case s.events > 0:
		load.Events = s.events
		c.What += fmt.Sprintf(", with --events %d", s.events)
	case s.quick:
		load.Events = min(load.Events, 10)
	}
	rounds := s.rounds
	if len(s.builds) == 1 {
		rounds = min(rounds, maxWatchRounds)
	}
	for round := range rounds {
		for _, v := range inRound(round, list) {
			m, err := measureWatches(ctx, v, load)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", v.name, err)
			}
			c.Samples[v.name] = append(c.Samples[v.name], &sample{Watch: m})
		}
	}
	return c, nil
}

// measureWatches starts all processes, lets the clients watch, and counts from there.
func measureWatches(ctx context.Context, v contender, l watchLoad) (*watchSample, error) {
	e, err := newEnv()
	if err != nil {
		return nil, err
	}
	defer e.close()
	if e.etcd == nil {
		return nil, errors.New("no etcd found: the memory of an etcd in this process cannot be measured; install etcd 3.4 or 3.5")
	}
	t, err := e.startTarget(v, e.etcdAddr)
	if err != nil {
		return nil, err
	}
	defer t.proc.stop()
	etcd := e.etcd
	l.Address, l.Etcd, l.CA = t.address, e.etcdAddr, e.ca
	if v.v3 {
		etcd, l.Etcd, l.V3 = e.store.process, e.store.address, true
	}
	ctx, cancel := context.WithTimeout(ctx, maxWatchTime)
	defer cancel()
	before := openFiles(etcd.Pid())
	g, err := e.startGenerator(ctx, "watch-load", l)
	if err != nil {
		return nil, err
	}
	defer g.stop()
	m := &watchSample{
		Memory:      float64(t.proc.rss() + rssOf(etcd.Pid())),
		Connections: float64(openFiles(etcd.Pid()) - before),
	}
	proxy, upstream := t.proc.cpu(), cpuOf(etcd.Pid())
	g.release()
	var r watchResult
	if err := g.result(&r); err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	m.CPU = float64((t.proc.cpu() - proxy).Milliseconds())
	m.UpstreamCPU = float64((cpuOf(etcd.Pid()) - upstream).Milliseconds())
	slices.Sort(r.Last)
	m.Last, m.P50, m.Seconds = float64(r.Last[len(r.Last)/2]), float64(r.P50), r.Seconds
	return m, nil
}

// openFiles returns the number of descriptors of a process.
func openFiles(pid int) int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0
	}
	return len(entries)
}

// watchColumns returns the columns of the table of watches.
func (c *comparison) watchColumns() []column {
	return []column{
		c.number("last ms", "%.1f", func(m *sample) float64 { return m.Watch.Last / 1000 }),
		c.number("p50 ms", "%.1f", func(m *sample) float64 { return m.Watch.P50 / 1000 }),
		c.number("all events s", "%.2f", func(m *sample) float64 { return m.Watch.Seconds }),
		c.number("proxy+etcd MB", "%.0f", func(m *sample) float64 { return m.Watch.Memory / 1e6 }),
		c.number("etcd connections", "%.0f", func(m *sample) float64 { return m.Watch.Connections }),
		c.number("proxy CPU ms", "%.0f", func(m *sample) float64 { return m.Watch.CPU }),
		c.number("etcd CPU ms", "%.0f", func(m *sample) float64 { return m.Watch.UpstreamCPU }),
	}
}
