package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/direct"
	"etcd-tlsproxy/proxy/v2v3"
)

// store is an etcd whose v3 store has the same keys as the etcd with the v2 API.
type store struct {
	process *proxytest.Process
	address string
	filled  map[string]bool // the prefixes that have a tree
}

// The trees in the store are apart, because a proxy loads the whole tree of its prefix.
const (
	benchPrefix = "bench"
	largePrefix = "large"
	largeNodes  = 100_000
)

// storeRelease returns the release whose v3 store is served: etcd 3.6 or 3.7 if they are built, or else the
// installed one. There is none if only the etcd in this process is at hand.
func storeRelease() (found proxytest.Release, ok bool) {
	for _, r := range proxytest.Releases() {
		if r.Program != "" && (!ok || found.HasV2()) {
			found, ok = r, true
		}
	}
	return found, ok
}

// openStore starts the etcd with a v3 store, unless it runs, and makes a tree with the keys of the scenarios.
func (e *env) openStore() error {
	if e.store == nil {
		release, ok := storeRelease()
		if !ok {
			panic("BUG: a scenario needs an etcd that is not there")
		}
		etcd, err := proxytest.StartProcess(release.Program, proxytest.Options{Dir: e.path("store"), NoV2: true})
		if err != nil {
			return err
		}
		e.closers = append(e.closers, etcd.Close)
		e.store = &store{process: etcd, address: strings.TrimPrefix(etcd.URL(), "http://"), filled: map[string]bool{}}
	}
	return e.store.fill(benchPrefix, treeKeys, treeKey)
}

// fill makes a tree, unless there is one.
func (s *store) fill(prefix string, nodes int, key func(int) string) error {
	if s.filled[prefix] {
		return nil
	}
	if err := direct.Init(v2v3.Endpoint{Addr: s.address}, prefix, 1000); err != nil {
		return err
	}
	s.filled[prefix] = true
	return s.add(prefix, nodes, key)
}

// add writes keys.
func (s *store) add(prefix string, nodes int, key func(int) string) error {
	w, err := direct.Open(v2v3.Endpoint{Addr: s.address}, prefix)
	if err != nil {
		return err
	}
	defer w.Close()
	return forEach(make([]struct{}, nodes), maxParallel, func(i int) error { return w.Put(key(i), keyValue) })
}

// addTrees writes the keys of further trees to both etcds.
func (e *env) addTrees() error {
	if e.trees {
		return nil
	}
	e.trees = true
	if err := e.openStore(); err != nil {
		return err
	}
	if err := e.store.add(benchPrefix, trees*treeKeys, otherTreeKey); err != nil {
		return err
	}
	return forEach(make([]struct{}, trees*treeKeys), maxParallel, func(i int) error { return putDirect(e.etcdAddr, otherTreeKey(i), keyValue) })
}

// startSample is how a proxy starts.
type startSample struct {
	Took   float64 // microseconds until its first good answer
	Memory float64 // bytes that it needs then
}

// compareStarts starts each contender once a round. The tree that it loads is large.
func (s *settings) compareStarts(ctx context.Context, e *env, sc *scenario) (*comparison, error) {
	c := newComparison(sc, s.builds)
	list := s.selectContenders(sc, c)
	if slices.ContainsFunc(list, func(v contender) bool { return v.v3 }) {
		if err := e.openStore(); err != nil {
			return nil, err
		}
		err := e.store.fill(largePrefix, largeNodes, func(i int) string { return fmt.Sprintf("/conftool/v1/%03d/mw%04d", i/1000, i%1000) })
		if err != nil {
			return nil, err
		}
	}
	for round := range s.rounds {
		for _, v := range inRound(round, list) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			began := time.Now()
			t, err := e.startTarget(v, e.etcdAddr)
			if err != nil {
				return nil, err
			}
			m := &startSample{}
			client, err := e.client()
			if err == nil {
				waitForSuccess(ctx, client, "https://"+t.address+"/v2/keys/")
				m.Took, m.Memory = float64(time.Since(began).Microseconds()), float64(t.proc.rss())
				client.CloseIdleConnections()
			}
			t.proc.stop()
			if err != nil {
				return nil, err
			}
			c.Samples[v.name] = append(c.Samples[v.name], &sample{Start: m})
		}
	}
	return c, nil
}

// startColumns returns the columns of the table of starts.
func (c *comparison) startColumns() []column {
	return []column{
		c.number("first answer ms", "%.0f", func(m *sample) float64 { return m.Start.Took / 1000 }),
		c.number("memory MB", "%.0f", func(m *sample) float64 { return m.Start.Memory / 1e6 }),
	}
}
