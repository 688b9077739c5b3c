package migration

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// installed is a fleet before members of an installed etcd 3.4 or 3.5.
type installed struct {
	*fleet
	cluster *proxytest.Cluster
}

func newInstalled(t *testing.T, members, proxies int) *installed {
	t.Helper()
	etcd, version, ok := proxytest.FindEtcd()
	if !ok {
		t.Skip("no etcd 3.4 or 3.5 is installed")
	}
	t.Logf("etcd %s", version)
	c, f := startCluster(t, proxytest.ClusterOptions{Etcd: etcd, Advertise: make([]string, members)}, "data")
	return &installed{f.fleet(proxies), c}
}

// startCluster starts a cluster. The first member is that whose files are read; its data are in a folder of its own.
func startCluster(t *testing.T, o proxytest.ClusterOptions, data string) (*proxytest.Cluster, *fixture) {
	t.Helper()
	o.Dir = t.TempDir()
	c, err := proxytest.NewCluster(o)
	t.Cleanup(c.Close)
	if err != nil {
		t.Fatal(err)
	}
	return c, fixtureOf(t, filepath.Join(o.Dir, c.Members[0].Name(), data), c.URLs()...)
}

// same makes sure that the v2 API has the same nodes as before, and returns them. The indexes are others, and each move
// back rounds the times to live up.
func (f *installed) same(before *Content) (now *Content) {
	f.t.Helper()
	now = f.take()
	if d, expired := compareCopy(before.records, now.records, time.Now()); d.Count > 0 || expired > 0 {
		f.t.Errorf("got the differences %+v and %d nodes that have expired, want none", d, expired)
	}
	return now
}

func TestTheKeysMoveThereAndBackWithAnInstalledEtcd(t *testing.T) {
	t.Parallel()
	for _, members := range []int{1, 3} {
		t.Run(strconv.Itoa(members), func(t *testing.T) {
			t.Parallel()
			f := newInstalled(t, members, 2)
			before := f.take()
			m := f.switched()
			m.live()
			m.do(m.tree, "DELETE", "/dir/live", "")
			m.back.Connection.Endpoints = f.cluster.URLs()
			if _, err := m.back.Run(t.Context()); err != nil {
				t.Fatalf("moving the keys back: %v", err)
			}
			f.same(before)
			m.tree.Close()
			m = f.switched()
			if _, err := f.drop(2).Run(t.Context()); err != nil {
				t.Fatalf("deleting the keys of the v2 API: %v", err)
			}
			f.dropped(layout.Dropped)
			m.live()
			m.isMovedBack("/_hidden/a", "2")
		})
	}
}

// leaderless are the steps before which the leader is killed. With ETCD_TLSPROXY_TEST_MOVE=1 it is killed before each
// of them, which takes minutes.
var leaderless = map[string]bool{"switch freeze": true, "switch serve": true, "back update": true, "drop delete": true}

// TestTheKeysMoveAlthoughTheLeaderDies kills the leader of three members before a step of a command. It fails or succeeds,
// and then all keys are there.
func TestTheKeysMoveAlthoughTheLeaderDies(t *testing.T) {
	t.Parallel()
	all := os.Getenv("ETCD_TLSPROXY_TEST_MOVE") == "1"
	f := newInstalled(t, 3, 2)
	want := f.take()
	for step := range slices.Values(Steps) {
		if all || leaderless["switch "+step] {
			f.survives("switch "+step, step, &f.sw.Fleet, func() error { _, err := f.sw.Run(t.Context()); return err })
			f.returns()
			want = f.same(want)
		}
	}
	for step := range slices.Values(BackSteps) {
		if all || leaderless["back "+step] {
			m := f.switched()
			f.survives("back "+step, step, &m.back.Fleet, func() error { _, err := m.back.Run(t.Context()); return err })
			m.tree.Close()
			want = f.same(want)
		}
	}
	for step := range slices.Values(DropSteps) {
		if all || leaderless["drop "+step] {
			m := f.switched()
			d := f.drop(2)
			f.survives("drop "+step, step, &d.Fleet, func() error { _, err := d.Run(t.Context()); return err })
			f.dropped(layout.Dropped)
			m.tree.Close()
			f.returns()
			want = f.same(want)
		}
	}
}

// survives runs a command whose leader is killed before a step, and again if it has failed.
func (f *installed) survives(what, step string, of *Fleet, run func() error) {
	f.t.Helper()
	f.another()
	var killed proxytest.Member
	of.MaxHold = time.Minute
	of.before = func(now string) error {
		if now == step && killed == nil {
			leader, err := f.cluster.Leader()
			if err != nil {
				return err
			}
			killed = leader
			killed.Close()
		}
		return nil
	}
	defer func() { of.before = nil }()
	err := run()
	f.t.Logf("%s: the command without a leader: %v", what, err)
	if killed == nil {
		f.t.Fatalf("%s: the leader was not killed", what)
	}
	if err := killed.Start(); err != nil {
		f.t.Fatal(err)
	}
	if err == nil {
		return
	}
	for err = run(); errors.Is(err, errRunning); err = run() {
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // etcd ends the lease of the lock by itself
	}
	if err != nil {
		f.t.Fatalf("%s: the command is run again: %v", what, err)
	}
}

// returns moves the keys back.
func (f *installed) returns() {
	f.t.Helper()
	b := &Back{Rehearsal: f.sw.Rehearsal, Fleet: Fleet{Expect: 2, MaxHold: time.Minute}, settling: 50 * time.Millisecond}
	b.DataDir, b.Connection.Endpoints = "", f.cluster.URLs()
	if _, err := b.Run(f.t.Context()); err != nil {
		f.t.Fatalf("moving the keys back: %v", err)
	}
}

// another makes another member the leader than the one whose files are read.
func (f *installed) another() {
	f.t.Helper()
	leader, err := f.cluster.Leader()
	if err != nil {
		f.t.Fatal(err)
	}
	if leader != f.cluster.Members[0] {
		return
	}
	client, err := rpc.New([]rpc.Endpoint{{Addr: strings.TrimPrefix(f.url, "http://")}}, "", "")
	if err != nil {
		f.t.Fatal(err)
	}
	defer client.Close()
	list, err := client.Cluster().MemberList(f.t.Context(), &pb.MemberListRequest{})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, m := range list.Members {
		if m.Name != leader.Name() {
			if _, err := client.Maintenance().MoveLeader(f.t.Context(), &pb.MoveLeaderRequest{TargetID: m.ID}); err != nil {
				f.t.Fatal(err)
			}
			return
		}
	}
}
