package v2v3

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

// keepsSoon waits until one of the stores is the keeper, and returns it.
func keepsSoon(t *testing.T, stores ...*Store) *Store {
	t.Helper()
	var keeper *Store
	eventually(t, "there is a keeper", func() bool {
		for _, s := range stores {
			if s.keeper.Keeps() {
				keeper = s
			}
		}
		return keeper != nil
	})
	return keeper
}

func TestNodesExpireInTheOrderOfTheirTimes(t *testing.T) {
	t.Parallel()
	f := start(t)
	keepsSoon(t, f.Store)
	events, _, _ := f.watch("GET /?wait=true&recursive=true&stream=true")
	for _, request := range []string{"PUT /c?value=1&ttl=2", "PUT /d?dir=true&ttl=1", "PUT /d/e?value=1", "PUT /b?value=1&ttl=1",
		"PUT /stays?value=1&ttl=1", "PUT /stays?value=2", "PUT /now?value=1&ttl=0"} {
		f.do(request)
		next(t, events)
	}
	for _, want := range []string{`"key":"/now",`, `"key":"/d","dir":true,`, `"key":"/b",`, `"key":"/c",`} {
		if got := next(t, events); !strings.HasPrefix(got, `{"action":"expire","node":{`+want) {
			t.Errorf("got %s, want the expiration of %s", got, want)
		}
	}
	if got := f.do("GET /stays"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("got %s, want the node, which was made permanent", got)
	}
	sameTree(t, f.Store, open(t, f.options))
}

// dueNode returns the expiration of a node, planned but not sent.
func (f *fixture) dueNode() *proposal {
	f.Helper()
	f.do("PUT /due?value=1&ttl=1000")
	keeper, _, _ := keeping{f.Store}.Keeper()
	list, err := f.planExpires(keeper.ModRevision, time.Now().Add(time.Hour), 10)
	if len(list) != 1 || err != nil {
		f.Fatalf("planning to expire a node: got %v, %v", list, err)
	}
	return list[0]
}

func TestAKeeperThatWasReplacedExpiresNothing(t *testing.T) {
	t.Parallel()
	f := start(t)
	keepsSoon(t, f.Store)
	p := f.dueNode()
	// A keeper with another session would make this one put its key again, which is a fence as well.
	value := layout.Presence{Session: p.session}
	if _, err := f.client().Put(testContext(t), &pb.PutRequest{Key: f.keys.Keeper(), Value: value.Encode()}); err != nil {
		t.Fatal(err)
	}
	if err := f.expire(testContext(t), p); !errors.Is(err, errRenewed) {
		t.Errorf("got %v, want %v", err, errRenewed)
	}
	if got := f.do("GET /due?quorum=true"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("got %s, want the node", got)
	}
	eventually(t, "the store notices it", func() bool { return !f.keeper.Keeps() })
}

func TestANodeThatWasRefreshedMeanwhileDoesNotExpire(t *testing.T) {
	t.Parallel()
	f := start(t)
	keepsSoon(t, f.Store)
	p := f.dueNode()
	f.do("PUT /due?refresh=true&ttl=2000&prevExist=true")
	if err := f.expire(testContext(t), p); !errors.Is(err, errConflict) {
		t.Errorf("got %v, want %v", err, errConflict)
	}
	if got := f.do("GET /due"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("got %s, want the node", got)
	}
}

func TestADirectoryWithKeysOfV3BelowDoesNotExpire(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /d?dir=true&ttl=1")
	f.do("PUT /d/e?value=1")
	if _, err := f.client().Put(testContext(t), &pb.PutRequest{Key: []byte("/d/foreign"), Value: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	f.do("PUT /later?value=1&ttl=1")
	events, _, _ := f.watch("GET /later?wait=true")
	keepsSoon(t, f.Store)
	if got := next(t, events); !strings.HasPrefix(got, `{"action":"expire"`) {
		t.Errorf("got %s, want that what is due after the directory expires", got)
	}
	if got := f.do("GET /d/e"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("got %s, want what is in the directory", got)
	}
	if found, err := f.client().Range(testContext(t), &pb.RangeRequest{Key: []byte("/d/foreign")}); err != nil || found.Count != 1 {
		t.Errorf("the key of v3: got %v, %v, want that it is still there", found, err)
	}
}

// TestManyNodesExpireSideBySide makes more nodes due than one sweep expires one after the other, with some in
// a directory that is due itself. The keeper expires all, and each once.
func TestManyNodesExpireSideBySide(t *testing.T) {
	t.Parallel()
	f := start(t)
	const nodes, together = 600, 256
	for i := range nodes {
		f.do(fmt.Sprintf("PUT /d%d/k?value=1&ttl=1000", i))
	}
	f.do("PUT /d0?dir=true&prevExist=true&ttl=1000")
	keeper, _, _ := keeping{keepsSoon(t, f.Store)}.Keeper()
	later := time.Now().Add(time.Hour)
	list, err := f.planExpires(keeper.ModRevision, later, together)
	if len(list) != together || err != nil {
		t.Fatalf("planning: got %d expirations and the error %v, want %d", len(list), err, together)
	}
	if !f.expireAll(testContext(t), list) {
		t.Fatal("expiring side by side failed")
	}
	for _, p := range list {
		if got := f.do("GET " + p.change.Key); !strings.HasPrefix(got, "404 ") {
			t.Errorf("got %s, want that %s has expired", got, p.change.Key)
		}
	}
	for _, left := range []int{nodes, 0} {
		if list, err = f.planExpires(keeper.ModRevision, later, nodes); err != nil || (len(list) > 0) != (left > 0) {
			t.Fatalf("planning the rest: got %d expirations and the error %v, want some of %d", len(list), err, left)
		}
		f.expireAll(testContext(t), list)
	}
	sameTree(t, f.Store, open(t, f.options))
}

func TestMoreAndMoreNodesExpireSideBySideUntilNoneIsDue(t *testing.T) {
	n := 0
	for i, c := range []struct {
		more bool
		want int
	}{{false, 0}, {true, 16}, {true, 32}, {false, 16}, {true, 32}, {true, 64}, {true, 128}, {true, 256}, {true, 512}, {true, 1024}, {true, 1024}, {false, 512}} {
		if n = nextTogether(n, c.more); n != c.want {
			t.Errorf("after the sweep %d: got %d, want %d", i+1, n, c.want)
		}
	}
	for range 10 {
		n = nextTogether(n, false)
	}
	if n > 1 {
		t.Errorf("after many sweeps that were enough: got %d, want one after the other again", n)
	}
}

func TestADirectoryWithTooManyKeysIsRemovedInParts(t *testing.T) {
	t.Parallel()
	f := start(t, func(o *Options) { o.maxRemoved = 3 })
	for _, key := range []string{"/d/a/1", "/d/a/_2", "/d/b", "/kept/1", "/kept/2", "/kept/3"} {
		f.do("PUT " + key + "?value=1")
	}
	f.do("PUT /kept?dir=true&prevExist=true&ttl=1")
	f.do("PUT /later?value=1&ttl=1")
	events, _, _ := f.watch("GET /later?wait=true")
	if got := f.do("DELETE /d?recursive=true"); !strings.HasPrefix(got, "500 ") || !strings.Contains(got, "has 5 keys, want at most 3") {
		t.Errorf("got %s, want that too many keys are not removed at once", got)
	}
	for _, key := range []string{"/d/a", "/d"} {
		if got := f.do("DELETE " + key + "?recursive=true"); !strings.HasPrefix(got, "200 ") {
			t.Errorf("removing %s: got %s, want it removed", key, got)
		}
	}
	keepsSoon(t, f.Store)
	if got := next(t, events); !strings.HasPrefix(got, `{"action":"expire"`) {
		t.Errorf("got %s, want that what is due after the directory expires", got)
	}
	if got := f.do("GET /kept"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("got %s, want that a directory with too many keys stays", got)
	}
	sameTree(t, f.Store, open(t, f.options))
}

// TestAnotherStoreExpiresNodesWhenTheKeeperIsGone cuts the keeper off.
func TestAnotherStoreExpiresNodesWhenTheKeeperIsGone(t *testing.T) {
	t.Parallel()
	f := start(t)
	keepsSoon(t, f.Store)
	other := open(t, f.options)
	f.link.Pause()
	began := time.Now()
	if got := do(t, other, "PUT /a?value=1&ttl=1"); !strings.HasPrefix(got, "201") {
		t.Errorf("got %s, want that writes go on without a keeper", got)
	}
	keepsSoon(t, other)
	eventually(t, "the node has expired", func() bool { return strings.HasPrefix(do(t, other, "GET /a"), "404") })
	t.Logf("a node that was due after 1 s expired after %s", time.Since(began))
}

func TestAKeeperThatIsClosedHandsOver(t *testing.T) {
	t.Parallel()
	f := start(t)
	keepsSoon(t, f.Store)
	other := open(t, f.options)
	f.Close()
	if found, err := f.client().Range(testContext(t), &pb.RangeRequest{Key: f.keys.Keeper()}); err != nil || found.Count != 0 && !other.keeper.Keeps() {
		t.Errorf("the key of the keeper: got %v, %v, want that it does not wait for its lease", found, err)
	}
	keepsSoon(t, other)
}

// skewed makes a clock that can be set.
func skewed(offset *atomic.Int64) func(*Options) {
	return func(o *Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	}
}

func TestAKeeperWhoseClockJumpsExpiresNothing(t *testing.T) {
	t.Parallel()
	var offset atomic.Int64
	f := start(t, skewed(&offset))
	f.do("PUT /a?value=1&ttl=1000")
	keepsSoon(t, f.Store)
	offset.Store(int64(time.Hour))
	eventually(t, "the store doubts its clock", func() bool { return f.Status().ClockDoubts == 1 && !f.Status().Keeper })
	good := f.options
	good.Now = nil
	other := open(t, good)
	keepsSoon(t, other)
	if got := do(t, other, "GET /a"); !strings.HasPrefix(got, "200") {
		t.Errorf("got %s, want the node, which is not due", got)
	}
}

// TestAKeeperWhoseClockDiffersFromMostHandsOver has two good clocks and one that is ahead.
func TestAKeeperWhoseClockDiffersFromMostHandsOver(t *testing.T) {
	t.Parallel()
	var offset atomic.Int64
	offset.Store(int64(time.Hour))
	f := start(t, skewed(&offset))
	keepsSoon(t, f.Store)
	good := f.options
	good.Now = nil
	stores := []*Store{open(t, good), open(t, good)}
	do(t, stores[0], "PUT /a?value=1&ttl=1000")
	keeper := keepsSoon(t, stores...)
	if got := f.Status(); got.Keeper || got.ClockDoubts != 1 {
		t.Errorf("got the status %+v, want a store that doubts its clock", got)
	}
	events := make(chan string, 1)
	_, _, err := keeper.Watch(parse(t, "GET /b?wait=true&waitIndex="+f.indexText()), func(e *Event) { events <- string(e.Body) }, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	do(t, stores[1], "PUT /b?value=1&ttl=0")
	next(t, events)
	eventually(t, "the node expires", func() bool { return strings.HasPrefix(do(t, keeper, "GET /b"), "404") })
	if got := do(t, keeper, "GET /a"); !strings.HasPrefix(got, "200") {
		t.Errorf("got %s, want the node, which is not due", got)
	}
	eventually(t, "the keeper knows of one clock apart", func() bool {
		got := keeper.Status()
		return got.Keeper && got.ClocksApart == 1
	})
}
