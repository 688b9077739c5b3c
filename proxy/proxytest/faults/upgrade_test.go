package faults

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// TestARollingUpgradeLosesAndRepeatsNoWrite stops each member, one after another, and starts it with its data
// as the next release: from etcd 3.5 through 3.6 to 3.7. Clients of three proxies work meanwhile, and their
// watches go on. ETCD_TLSPROXY_TEST_UPGRADES=N sets how many clusters are upgraded. Without it members are
// killed instead: one that is told to stop waits 7 s for the watches of its proxy.
func TestARollingUpgradeLosesAndRepeatsNoWrite(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	releases := append([]proxytest.Release{{Name: "3.5"}}, releasesWithoutV2(t)...)
	times, seed := number(t, "ETCD_TLSPROXY_TEST_UPGRADES"), number(t, "ETCD_TLSPROXY_TEST_SEED")
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	total := newTotals()
	defer total.print(t)
	for n := range max(1, times) {
		t.Run(fmt.Sprint("cluster ", n+1), func(t *testing.T) {
			t.Logf("seed %d", seed+n)
			u := &upgrade{cluster: startCluster(t, releases[0]), seed: (seed + n) % 1e9, stops: times > 0}
			u.run(releases[1:], total)
		})
	}
}

// upgrade is the upgrade of one cluster.
type upgrade struct {
	*cluster
	seed uint64
	// stops means that all members are stopped as a service manager does it.
	stops bool
	// newest is the highest index that clients have seen.
	newest uint64
}

// run lets all members become one release after the other. The order of the members is random.
func (u *upgrade) run(releases []proxytest.Release, total *totals) {
	u.Helper()
	random := rand.New(rand.NewPCG(u.seed, 0))
	for i, release := range releases {
		for n, number := range random.Perm(machines) {
			last := n == machines-1
			k := kind{name: "member becomes etcd " + release.Name, inject: func(r *round) {
				if r.history.After < u.newest {
					r.finding("the index is %d, want at least %d as before", r.history.After, u.newest)
				}
				r.replaceProgram(r.members[number], release, u.stops, last)
				u.newest = r.newest.Load()
			}}
			if u.happen(k, u.seed+uint64(i*machines+n), total); u.Failed() {
				return
			}
		}
	}
}

// replaceProgram starts a member as another release. Behind the last one, it waits until the cluster has
// agreed on the version of the release: a member of the release after that needs it.
func (r *round) replaceProgram(m *member, release proxytest.Release, stops, last bool) {
	r.Helper()
	if m.program != "" {
		r.leaveOldLog(m, stops)
	}
	m.end(stops)
	r.progress(10, everyone...)
	m.program = release.Program
	r.must(m.launch(r.members, "existing"))
	r.eventually("the member serves", m.serves)
	r.progress(10, everyone...)
	if last {
		r.eventually("the cluster has the version of its members", func() bool { return r.agreed() == release.Name+".0" })
		r.progress(5, everyone...)
	}
}

// leaveOldLog starts a member again so that it writes a snapshot of what it has applied, as the manual says.
// Etcd 3.7 does not start on a log in which entries of members of etcd 3.5 follow the last snapshot.
func (r *round) leaveOldLog(m *member, stops bool) {
	r.Helper()
	before := m.snapshots()
	m.end(stops)
	r.progress(10, everyone...)
	r.must(m.launch(r.members, "existing", "--snapshot-count=1"))
	r.eventually("the member has written a snapshot", func() bool { return !slices.Equal(before, m.snapshots()) })
	r.eventually("the member serves", m.serves)
}

// end stops or kills the member.
func (m *member) end(stops bool) {
	if stops {
		m.stop()
	} else {
		m.kill()
	}
}

// snapshots returns the snapshots of the log that the member has.
func (m *member) snapshots() []string {
	all, err := filepath.Glob(filepath.Join(m.data(), "member", "snap", "*.snap"))
	if err != nil {
		panic("BUG: the pattern is not valid: " + err.Error())
	}
	return all
}

// agreed returns the version that the proxies tell of the cluster, or "" if they do not agree.
func (r *round) agreed() (version string) {
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	for i := range r.proxies {
		var told struct{ Etcdcluster string }
		a, err := send(r.Context(), client, "GET", r.url(i)+"/version", "")
		if err != nil || !decode(a.body, &told) || i > 0 && told.Etcdcluster != version {
			return ""
		}
		version = told.Etcdcluster
	}
	return version
}
