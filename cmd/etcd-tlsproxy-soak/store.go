package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/check"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/env"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// store is what a run has around a v3 store.
type store struct {
	direct *env.Store
	// companion is another proxy before the store, whose connections have no faults.
	companion *env.Proxy
	again     func() (*env.Proxy, error) // starts another companion

	// forgetting are the times in which etcd forgets revisions that the proxy has not seen.
	forgetting check.Outages
	// forgotten is an index up to which the proxy may know no events any more.
	forgotten atomic.Uint64
	half, end env.Size
}

// openStore makes a tree in the store of an etcd, and starts the companion. It is the first proxy there,
// so that it expires the keys at first.
func openStore(program string, files *env.Files, etcd env.Etcd) (*store, error) {
	if err := env.InitStore(program, files); err != nil {
		return nil, err
	}
	s := &store{again: func() (*env.Proxy, error) { return env.StartCompanion(program, files, "http://"+etcd.Target()) }}
	var err error
	if s.direct, err = env.OpenStore(etcd.Target()); err != nil {
		return nil, err
	}
	if s.companion, err = s.again(); err != nil {
		s.direct.Close()
		return nil, err
	}
	return s, nil
}

func (s *store) close() {
	s.companion.Kill()
	s.direct.Close()
}

// isForgotten reports whether the proxy need not know the event of an index.
func (s *soak) isForgotten(index uint64) bool {
	return s.store != nil && index <= s.store.forgotten.Load()
}

// measureHalf measures the store half-way, when etcd has forgotten revisions for the last time.
func (s *soak) measureHalf() (err error) {
	<-s.firstHalf.Done()
	if s.store == nil || s.working.Err() != nil {
		return nil
	}
	s.store.half, err = s.store.direct.Size()
	return err
}

// checkStore checks the store when the clients have stopped: its size, and that both proxies show what is
// in it.
func (s *soak) checkStore() (err error) {
	if s.store.end, err = s.store.direct.Size(); err != nil {
		return err
	}
	if most := int64(env.Quota / 2); s.store.end.Used > most {
		s.findings.Mismatch("end", "%d MiB of the store are in use, want at most %d: the proxies compact above a quarter of the quota", s.store.end.Used>>20, most>>20)
	}
	companion := transport.NewClient(s.store.companion.Listen, "", s.tls(""), false)
	defer companion.Close()
	for name, via := range map[string]transport.Transport{"the proxy": s.prober, "the companion": companion} {
		s.waitFor(name+" shows the store", time.Second, func() error { return s.compareTree(via) })
	}
	m, err := s.proxy.Metrics()
	if n := m["etcd_tlsproxy_store_audit_differences_total"]; n > 0 {
		s.findings.Mismatch("end", "the proxy has found %v differences between its copy and the store, want none", n)
	}
	return err
}

// shown are the folders that both proxies must show. Keys in others may expire meanwhile.
var shown = []string{"/soak/tagged", "/soak/counter", "/soak/posts", "/soak/watched"}

// compareTree compares what a proxy shows with what is in the store.
func (s *soak) compareTree(via transport.Transport) error {
	for _, folder := range shown {
		want, err := s.store.direct.Values(folder)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), transport.Timeout)
		got, err := via.Do(ctx, &transport.Request{Method: "GET", Target: folder + "?recursive=true"})
		cancel()
		if err != nil {
			return err
		}
		values, err := got.Values()
		if err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if values[key] != want[key] {
				return fmt.Errorf("%s is %.100q, and %.100q in the store", key, values[key], want[key])
			}
		}
		if len(values) != len(want) {
			return fmt.Errorf("%s: got %d values, and %d in the store", folder, len(values), len(want))
		}
	}
	return nil
}
