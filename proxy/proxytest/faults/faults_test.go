package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/exact"
	"etcd-tlsproxy/proxy/v2store"
)

// shortRun is when no more faults begin, unless ETCD_TLSPROXY_TEST_FAULTS says how many there are.
const shortRun = 20 * time.Second

// TestTheAPIStaysExactWhileTheStoreFails lets faults of all kinds happen while clients of three proxies
// work. ETCD_TLSPROXY_TEST_FAULTS=N sets how often each happens, and ETCD_TLSPROXY_TEST_FAULT=NAME selects some.
func TestTheAPIStaysExactWhileTheStoreFails(t *testing.T) {
	release := newest(t)
	times, end := 1, time.Now().Add(shortRun)
	if text := os.Getenv("ETCD_TLSPROXY_TEST_FAULTS"); text != "" {
		var err error
		if times, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		end = end.Add(1000 * time.Hour)
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("ETCD_TLSPROXY_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("etcd %s, seed %d", release.Name, seed)
	c := startCluster(t, release)
	if !c.connected {
		t.Logf("faults of the network are left out, because there can be no network namespaces: %s", c.why)
	}
	var chosen []kind
	for _, k := range append([]kind{restored}, kinds...) {
		if (c.connected || !k.cuts) && strings.Contains(k.name, os.Getenv("ETCD_TLSPROXY_TEST_FAULT")) {
			chosen = append(chosen, k)
		}
	}
	total := newTotals()
	defer total.print(t)
	random := rand.New(rand.NewPCG(seed, 0))
	for n := range times {
		random.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		for i, k := range chosen {
			began := time.Now()
			number := seed%1e9 + uint64(n*len(chosen)+i)
			var rounds []*round
			if k.name == restored.name {
				rounds = c.runRestore(number)
			} else {
				rounds = []*round{newRound(c, k, number)}
				rounds[0].run()
			}
			took := time.Since(began)
			t.Logf("%s, seed %d, %s", k.name, number, took.Round(100*time.Millisecond))
			total.add(k, rounds, took)
			if t.Failed() || time.Now().After(end) {
				return
			}
		}
	}
}

// newest returns the newest release without the v2 API that is at hand, 3.6 before 3.7.
func newest(t *testing.T) proxytest.Release {
	t.Helper()
	for _, r := range proxytest.Releases() {
		if r.Program != "" && !r.HasV2() {
			return r
		}
	}
	t.Skip("there is no etcd 3.6 or 3.7; `make stores` builds them")
	panic("unreachable")
}

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
