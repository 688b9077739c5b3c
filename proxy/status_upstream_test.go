package proxy_test

import (
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/upstream"
)

func TestTheStatusTellsOfEveryMember(t *testing.T) {
	t.Parallel()
	path, _, ok := proxytest.FindEtcd()
	if !ok {
		t.Skip("no etcd 3.4 or 3.5 is installed")
	}
	cluster, err := proxytest.StartCluster(path, proxytest.Options{Dir: t.TempDir()}, proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range cluster {
		t.Cleanup(member.Close)
	}
	gone := fronttest.Listen(t)
	gone.Close()
	pool := fronttest.Pool(t, upstream.Options{}, "http://"+gone.Addr().String(), cluster[0].URL(), cluster[1].URL())
	defer pool.Close()
	state := observe.New(observe.NewMetrics("test"), observe.NewRecords(observe.RecordOptions{})).Members(pool)
	if down := state.Endpoints[0]; down.Health != "down" || !strings.Contains(down.Error, "connection refused") || down.Took == down.Took {
		t.Errorf("the endpoint without a listener: got %+v, want down, connection refused, and no duration", down)
	}
	roles := map[string]int{}
	leader := 0
	for i, e := range state.Endpoints[1:] {
		if e.Health != "up" || e.Name == "" || !strings.HasPrefix(e.Version, "3.") || e.Error != "" || e.Took != e.Took {
			t.Errorf("member %d: got %+v, want it up with a name, a version and a duration", i, e)
		}
		if roles[e.Role]++; e.Role == "leader" {
			leader = i
			if e.Name != state.Leader || state.LeaderID == "" {
				t.Errorf("got the leader %q with the ID %q, want %q with an ID", state.Leader, state.LeaderID, e.Name)
			}
		}
	}
	if roles["leader"] != 1 || roles["follower"] != 1 {
		t.Errorf("got the roles %v, want one leader and one follower", roles)
	}
	cluster[leader].Kill()
	fronttest.Eventually(t, "the other member has no leader", func() bool {
		state = observe.New(observe.NewMetrics("test"), observe.NewRecords(observe.RecordOptions{})).Members(pool)
		return state.Endpoints[2-leader].Health == "no leader"
	})
	if state.Leader != "" || state.Endpoints[1+leader].Health != "down" {
		t.Errorf("after the leader was killed: got %+v, want no leader and that endpoint down", state)
	}
}

func TestMembersAreAskedOnceInAWhile(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, e := l.Embedded(t, nil)
		first := f.Server.Status().Upstream
		e.Cut()
		if again := f.Server.Status().Upstream; again.Endpoints[0].Checked != first.Endpoints[0].Checked || again.Leader != "default" {
			t.Errorf("a second status: got %+v, want the members as probed for the first: %+v", again, first)
		}
		e.Mend()
	})
}

func TestTheStatusTellsOfHubs(t *testing.T) {
	fronttest.SkipWithV3(t, "one watch serves all keys")
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		for range 3 {
			startWatch(t, f, "GET /v2/keys/conftool?wait=true&recursive=true HTTP/1.1\r\nHost: h\r\n\r\n")
		}
		startWatch(t, f, "GET /v2/keys/a?wait=true HTTP/1.1\r\nHost: h\r\n\r\n")
		fronttest.Eventually(t, "all watches wait in their hubs", func() bool { return f.Metrics.Watches.Waiting.Load() == 4 })
		s := f.Server.Status()
		w := s.Watches
		if w.Running != 4 || w.Waiting != 4 || w.Hubs != 2 || len(w.Largest) != 2 || s.Sharing.WatchersPerHub != 2 {
			t.Fatalf("got %+v, %+v; want 4 watches in 2 hubs", w, s.Sharing)
		}
		if h := w.Largest[0]; h.Key != "/conftool" || !h.Recursive || h.Watchers != 3 || h.Index == 0 {
			t.Errorf("the largest hub: got %+v, want /conftool, recursive, with 3 watchers and an index", h)
		}
		if h := w.Largest[1]; h.Key != "/a" || h.Recursive || h.Watchers != 1 {
			t.Errorf("the second largest hub: got %+v, want /a, not recursive, with 1 watcher", h)
		}
	})
}
