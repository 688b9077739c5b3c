package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest/exact"
	"etcd-tlsproxy/proxy/v2store"
)

// totals counts what rounds had.
type totals struct {
	faults   map[string]int
	took     map[string]time.Duration
	ops      map[string]map[exact.Outcome]int // by action
	events   int
	expired  int
	jumps    int
	rounds   int
	sum      int
	outcomes map[exact.Outcome]int
}

func newTotals() *totals {
	return &totals{faults: map[string]int{}, took: map[string]time.Duration{}, ops: map[string]map[exact.Outcome]int{}, outcomes: map[exact.Outcome]int{}}
}

func (s *totals) add(k kind, rounds []*round, took time.Duration) {
	s.rounds++
	s.faults[k.name]++
	s.took[k.name] += took
	for _, r := range rounds {
		s.addRound(r)
	}
}

func (s *totals) addRound(r *round) {
	for i := range r.history.Ops {
		o := &r.history.Ops[i]
		name := string(o.Action)
		switch {
		case o.InOrder:
			name = "post"
		case o.Action == v2store.Get && o.Quorum:
			name = "quorum get"
		}
		if s.ops[name] == nil {
			s.ops[name] = map[exact.Outcome]int{}
		}
		s.ops[name][o.Outcome]++
		s.outcomes[o.Outcome]++
		s.sum++
	}
	for _, e := range r.history.Events {
		s.events++
		if e.Action == v2store.Expire {
			s.expired++
		}
	}
	for _, w := range r.watchers {
		s.jumps += len(w.jumps)
	}
}

func (s *totals) print(t *testing.T) {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.faults)) {
		fmt.Fprintf(&b, "  %4d %s, %s each\n", s.faults[name], name, (s.took[name] / time.Duration(s.faults[name])).Round(100*time.Millisecond))
	}
	for _, name := range slices.Sorted(maps.Keys(s.ops)) {
		fmt.Fprintf(&b, "  %s: %v\n", name, s.ops[name])
	}
	t.Logf("%d faults, %d operations %v, %d events, of which %d expiries; watchers had to read again %d times\n%s",
		s.rounds, s.sum, s.outcomes, s.events, s.expired, s.jumps, b.String())
}
