package faults

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// shortRun is when no more faults begin, unless ETCD_TLSPROXY_TEST_FAULTS says how many there are.
const shortRun = 12 * time.Second

// TestTheAPIStaysExactWhileTheStoreFails lets faults of all kinds happen while clients of three proxies
// work. ETCD_TLSPROXY_TEST_FAULTS=N sets how often each happens, in all releases of etcd together, and
// ETCD_TLSPROXY_TEST_FAULT=NAME selects some.
func TestTheAPIStaysExactWhileTheStoreFails(t *testing.T) {
	releases := releasesWithoutV2(t)
	times := number(t, "ETCD_TLSPROXY_TEST_FAULTS")
	s := &storm{kinds: kindsNamed(os.Getenv("ETCD_TLSPROXY_TEST_FAULT")), seed: number(t, "ETCD_TLSPROXY_TEST_SEED"), times: 1, end: time.Now().Add(shortRun)}
	if s.seed == 0 {
		s.seed = uint64(time.Now().UnixNano())
	}
	if times == 0 {
		releases = releases[:1]
	} else {
		s.times, s.end = (int(times)+len(releases)-1)/len(releases), time.Time{}
	}
	total := newTotals()
	defer total.print(t)
	for _, release := range releases {
		t.Run("etcd "+release.Name, func(t *testing.T) { s.run(t, release, total) })
	}
}

// number returns the value of a variable, or 0 if it is not set.
func number(t *testing.T, variable string) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: want a number", variable, text)
	}
	return n
}

// releasesWithoutV2 returns those releases that have no v2 API, the oldest first.
func releasesWithoutV2(t *testing.T) (found []proxytest.Release) {
	t.Helper()
	for _, r := range proxytest.Releases() {
		if r.Program != "" && !r.HasV2() {
			found = append(found, r)
		}
	}
	if found == nil {
		t.Skip("there is no etcd 3.6 or 3.7; `make stores` builds them")
	}
	return found
}

func kindsNamed(part string) (found []kind) {
	for _, k := range append([]kind{restored}, kinds...) {
		if strings.Contains(k.name, part) {
			found = append(found, k)
		}
	}
	return found
}

// storm is a run of faults.
type storm struct {
	kinds []kind
	seed  uint64
	times int       // how often each kind happens
	end   time.Time // no fault begins later, unless it is zero
}

// run lets the faults happen to one release, in a random order.
func (s *storm) run(t *testing.T, release proxytest.Release, total *totals) {
	t.Logf("etcd %s, seed %d", release.Name, s.seed)
	c := startCluster(t, release)
	if !c.connected {
		t.Logf("faults of the network are left out, because there can be no network namespaces: %s", c.why)
	}
	random := rand.New(rand.NewPCG(s.seed, 0))
	for n := range s.times {
		random.Shuffle(len(s.kinds), func(i, j int) { s.kinds[i], s.kinds[j] = s.kinds[j], s.kinds[i] })
		for i, k := range s.kinds {
			if k.cuts && !c.connected {
				continue
			}
			c.happen(k, s.seed%1e9+uint64(n*len(s.kinds)+i), total)
			if t.Failed() || !s.end.IsZero() && time.Now().After(s.end) {
				return
			}
		}
	}
}

// happen lets one fault happen.
func (c *cluster) happen(k kind, seed uint64, total *totals) {
	c.Helper()
	began := time.Now()
	var rounds []*round
	if k.name == restored.name {
		rounds = c.runRestore(seed)
	} else {
		rounds = []*round{newRound(c, k, seed)}
		rounds[0].run()
	}
	took := time.Since(began)
	c.Logf("%s, seed %d, %s", k.name, seed, took.Round(100*time.Millisecond))
	total.add(k, rounds, took)
	if !c.Failed() {
		rounds[len(rounds)-1].remove()
	}
}
