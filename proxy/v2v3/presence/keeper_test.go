package presence

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// tree is a tree whose keys are those at etcd, or those that the test sets.
type tree struct {
	read func() (*mvccpb.KeyValue, []string, bool)
	old  atomic.Bool // this program must not write it

	mu        sync.Mutex
	expired   []int64 // the revisions of the keeper
	compacted int
	more      int // how often there is more
}

func (t *tree) Keeper() (*mvccpb.KeyValue, []string, bool) { return t.read() }

func (t *tree) Writes() bool { return !t.old.Load() }

func (t *tree) Expire(_ context.Context, keeper int64, _ time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expired = append(t.expired, keeper)
	t.more--
	return t.more >= 0
}

func (t *tree) Compact(context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.compacted++
}

// counts returns how often nodes were to expire, and how often the store was to be compacted.
func (t *tree) counts() (expired, compacted int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.expired), t.compacted
}

// stored is a tree with the keeper's key as it is at etcd.
func (p *place) stored() *tree {
	return &tree{read: func() (*mvccpb.KeyValue, []string, bool) {
		answer, err := p.Client.Range(p.Context, &pb.RangeRequest{Key: p.Keys.Keeper()})
		if err != nil {
			return nil, nil, false
		}
		if len(answer.Kvs) == 0 {
			return nil, nil, true
		}
		return answer.Kvs[0], nil, true
	}}
}

// runs takes part in the election until the host is closed.
func (p *place) runs(n *Session, tr Tree) *Keeper {
	p.Helper()
	k := NewKeeper(p.Host, n, tr)
	var running sync.WaitGroup
	running.Go(k.Run)
	p.Cleanup(func() { p.close(); running.Wait() })
	return k
}

func TestAProxyBecomesTheKeeperAndHandsOver(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n, tr := p.keep(), p.stored()
	before := time.Now().UnixNano()
	ctx, cancel := context.WithCancel(t.Context())
	k := NewKeeper(p.Host, n, tr)
	k.Context = ctx
	if k.Keeps() {
		t.Error("a proxy that takes no part is the keeper")
	}
	var running sync.WaitGroup
	running.Go(k.Run)
	eventually(t, "the keeper has expired nodes", func() bool { expired, compacted := tr.counts(); return expired > 1 && compacted > 1 })
	kv := p.get(p.Keys.Keeper())
	if !k.Keeps() || kv == nil || kv.Lease == 0 || tr.expired[0] != kv.ModRevision || !p.saw(kv.ModRevision) {
		t.Errorf("got the key %v, and nodes expired for the revision %d, want the same with a lease", kv, tr.expired[0])
	}
	name, _, _ := n.Fence()
	if value, err := layout.DecodePresence(kv.Value); err != nil || value.Session != name || value.Time < before || value.Host != "conf1001" {
		t.Errorf("got the value %+v, %v, want the session %q, the machine, and the time of the election", value, err, name)
	}
	live, err := p.Client.Lease().LeaseTimeToLive(testContext(t), &pb.LeaseTimeToLiveRequest{ID: kv.Lease})
	if err != nil || live.GrantedTTL != 5 {
		t.Errorf("got the lease %v, %v, want one of 5 s", live, err)
	}
	cancel()
	running.Wait()
	if k.Keeps() || p.get(p.Keys.Keeper()) != nil || p.leases() != 1 {
		t.Errorf("after its end there are %d leases, want only that of the session", p.leases())
	}
}

func TestOnlyOneProxyIsTheKeeper(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := p.keep()
	k := NewKeeper(p.Host, n, p.stored())
	name, fence, _ := n.Fence()
	other := p.put(string(p.Keys.Keeper()), "{}", 0)
	if lease, revision, err := k.elect(name, fence); lease != 0 || revision != 0 || err == nil || !strings.HasPrefix(err.Error(), "another proxy is the keeper") {
		t.Errorf("got the error %v, want that another proxy is the keeper", err)
	}
	if err := k.serve(name, fence); err == nil || k.Keeps() {
		t.Errorf("got the error %v, want that this proxy does not keep", err)
	}
	if kv := p.get(p.Keys.Keeper()); kv.ModRevision != other || p.leases() != 1 {
		t.Errorf("got the key %v and %d leases, want that of the other proxy, and the lease of the session", kv, p.leases())
	}
}

func TestAProxyWhoseSessionIsFencedOffDoesNotBecomeTheKeeper(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := p.keep()
	k := NewKeeper(p.Host, n, p.stored())
	name, fence, _ := n.Fence()
	if _, err := n.FenceOff(testContext(t), name, fence); err != nil {
		t.Fatal(err)
	}
	if lease, revision, err := k.elect(name, fence); lease != 0 || revision != 0 || err == nil || p.get(p.Keys.Keeper()) != nil || p.leases() != 1 {
		t.Errorf("got the error %v, want that the session is over, and no other lease", err)
	}
}

func TestAnElectionWithoutEtcdFails(t *testing.T) {
	t.Parallel()
	p := begin(t)
	k := NewKeeper(p.Host, NewSession(p.Host), p.stored())
	k.Keys = layout.Keys(strings.Repeat("x", 2<<20)) // more than etcd takes
	if lease, revision, err := k.elect("a", 1); lease != 0 || revision != 0 || err == nil || !strings.HasPrefix(err.Error(), "putting the key of the keeper: ") || p.leases() != 0 {
		t.Errorf("got the error %v and %d leases, want that the key cannot be put, and none", err, p.leases())
	}
	p.etcd.Cut()
	if lease, revision, err := k.elect("a", 1); lease != 0 || revision != 0 || err == nil || !strings.HasPrefix(err.Error(), "granting a lease: ") {
		t.Errorf("got the error %v, want one about the lease", err)
	}
}

// TestAKeeperWhoseLeaseIsLostStops has a tree that does not show it.
func TestAKeeperWhoseLeaseIsLostStops(t *testing.T) {
	t.Parallel()
	p := begin(t)
	n := p.keep()
	name, fence, _ := n.Fence()
	var mu sync.Mutex
	var last *mvccpb.KeyValue
	tr := &tree{read: func() (*mvccpb.KeyValue, []string, bool) {
		kv := p.get(p.Keys.Keeper())
		mu.Lock()
		defer mu.Unlock()
		if kv != nil {
			last = kv
		}
		return last, nil, true
	}}
	k := NewKeeper(p.Host, n, tr)
	ended := make(chan error, 1)
	go func() { ended <- k.serve(name, fence) }()
	eventually(t, "the keeper has expired nodes", func() bool { expired, _ := tr.counts(); return expired > 0 })
	p.revokeLease(p.get(p.Keys.Keeper()).Lease)
	if err := <-ended; err == nil || err.Error() != "the lease has expired" || k.Keeps() {
		t.Errorf("got the error %v, want that the lease has expired", err)
	}
}

// TestTheMemberThatLeadsIsPreferred asks a leader and a follower, and lets the proxy at the follower take
// the place that nobody else wants.
func TestTheMemberThatLeadsIsPreferred(t *testing.T) {
	t.Parallel()
	cluster, err := proxytest.NewCluster(proxytest.ClusterOptions{Dir: t.TempDir(), Advertise: make([]string, 3)})
	t.Cleanup(cluster.Close)
	if err != nil {
		t.Fatal(err)
	}
	leader, err := cluster.Leader()
	if err != nil {
		t.Fatal(err)
	}
	follower, err := cluster.Follower()
	if err != nil {
		t.Fatal(err)
	}
	p := at(t, leader.URL())
	if k := NewKeeper(p.Host, NewSession(p.Host), p.stored()); !k.leads() {
		t.Error("the leader is not found to lead")
	}
	p = at(t, follower.URL())
	k := p.runs(p.keep(), p.stored())
	if k.leads() {
		t.Error("a follower is found to lead")
	}
	eventually(t, "there is a keeper", k.Keeps)
	p.Client.Close()
	if k.leads() {
		t.Error("a member that does not answer is found to lead")
	}
}

// TestAProxyTakesPartOnlyWhenItCan has a tree of which nothing is known, then one with a keeper, and
// then one without.
func TestAProxyTakesPartOnlyWhenItCan(t *testing.T) {
	t.Parallel()
	p := begin(t)
	var mu sync.Mutex
	asked, ok, keeper := 0, false, &mvccpb.KeyValue{}
	stored := p.stored()
	tr := &tree{read: func() (*mvccpb.KeyValue, []string, bool) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		if keeper != nil || !ok {
			return keeper, nil, ok
		}
		return stored.read()
	}}
	set := func(known bool, kv *mvccpb.KeyValue) {
		mu.Lock()
		defer mu.Unlock()
		asked, ok, keeper = 0, known, kv
	}
	periods := func() int { mu.Lock(); defer mu.Unlock(); return asked }
	k := p.runs(p.keep(), tr)
	for what, change := range map[string]func(){
		"the tree is not known":       func() { set(false, nil) },
		"another proxy has its place": func() { set(true, &mvccpb.KeyValue{ModRevision: 1}) },
	} {
		change()
		eventually(t, "three periods are over", func() bool { return periods() >= 3 })
		if k.Keeps() || p.get(p.Keys.Keeper()) != nil || !k.VacantSince().IsZero() {
			t.Errorf("%s: the proxy has become the keeper, or says that there is none", what)
		}
	}
	k.clock.mu.Lock()
	k.clock.until = time.Now().Add(time.Hour)
	k.clock.mu.Unlock()
	set(true, nil)
	eventually(t, "four periods are over", func() bool { return periods() >= 4 })
	if since := k.VacantSince(); p.get(p.Keys.Keeper()) != nil || since.IsZero() || time.Since(since) < 2*sweepPeriod {
		t.Errorf("a proxy whose clock rests: got the keeper %v, and none since %v, want none since four periods", p.get(p.Keys.Keeper()), since)
	}
	k.clock.mu.Lock()
	k.clock.until = time.Time{}
	k.clock.mu.Unlock()
	eventually(t, "the proxy is the keeper", k.Keeps)
	if since := k.VacantSince(); !since.IsZero() {
		t.Errorf("the keeper says that there is none since %v", since)
	}
}

func TestAProxyWithoutASessionDoesNotBecomeTheKeeper(t *testing.T) {
	t.Parallel()
	p := begin(t)
	stored := p.stored()
	var mu sync.Mutex
	asked := 0
	tr := &tree{read: func() (*mvccpb.KeyValue, []string, bool) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return stored.read()
	}}
	// Its name would be that of a session which nobody has.
	k := p.runs(NewSession(p.Host), tr)
	eventually(t, "three periods are over", func() bool { mu.Lock(); defer mu.Unlock(); return asked >= 3 })
	if k.Keeps() || p.leases() != 0 {
		t.Errorf("the proxy keeps: %v, with %d leases, want that it takes no part", k.Keeps(), p.leases())
	}
}

// TestAProgramThatIsTooOldLeavesThePlaceToOthers has a keeper that may not write the tree any more.
func TestAProgramThatIsTooOldLeavesThePlaceToOthers(t *testing.T) {
	t.Parallel()
	p := begin(t)
	tr := p.stored()
	k := p.runs(p.keep(), tr)
	eventually(t, "the keeper has expired nodes", func() bool { expired, _ := tr.counts(); return expired > 0 })
	tr.old.Store(true)
	eventually(t, "there is no keeper", func() bool { return !k.Keeps() && p.get(p.Keys.Keeper()) == nil })
	vacant := time.Now()
	eventually(t, "it has had the time to become keeper again", func() bool { return time.Since(vacant) > 2*sweepPeriod+preference })
	if k.Keeps() || p.get(p.Keys.Keeper()) != nil {
		t.Error("the program has become the keeper again, want that it takes no part")
	}
	tr.old.Store(false)
	eventually(t, "it is the keeper again", k.Keeps)
}
