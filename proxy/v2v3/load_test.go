package v2v3

import (
	"fmt"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

func TestALoadedMirrorHasTheHistoryOfThoseThatFollowed(t *testing.T) {
	t.Parallel()
	f := start(t)
	c := f.client()
	for i := range 1100 {
		f.do(fmt.Sprintf("PUT /k%d?value=%d", i%7, i))
		if i%100 == 0 { // a revision that is no event
			if _, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte("elsewhere")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	sameTree(t, f.Store, open(t, f.options))
}

func TestALoadedMirrorStartsItsHistoryAfterACompaction(t *testing.T) {
	f := start(t)
	f.do("PUT /a?value=1")
	f.do("PUT /a?value=2")
	compacted := f.index() // the key of a new keeper may come after it
	f.compact()
	f.do("PUT /a?value=3")
	s := open(t, f.options)
	for since, want := range map[uint64]int{compacted: 400, f.index(): 200, 1: 400} {
		_, head, err := s.Watch(parse(t, fmt.Sprintf("GET /a?wait=true&waitIndex=%d", since)), func(*Event) {}, func(error) {})
		if err != nil || head.Status != want {
			t.Errorf("waitIndex=%d: got the head %+v and the error %v, want the status %d", since, head, err, want)
		}
	}
}

// fill imports n files, in directories of 100 whose names have numbers of that width.
func fill(t testing.TB, c *rpc.Client, keys layout.Keys, n, width int, value string) {
	t.Helper()
	tx := &layout.Txn{Keys: keys}
	flush := func() {
		if _, err := c.Txn(t.Context(), &pb.TxnRequest{Success: tx.Success}); err != nil {
			t.Fatal(err)
		}
		tx = &layout.Txn{Keys: keys}
	}
	tx.Put(keys.Dir("/big"), nil)
	for i := range n {
		dir := fmt.Sprintf("/big/directory-%0*d", width, i/100)
		if i%100 == 0 {
			tx.Put(keys.Dir(dir), nil)
		}
		key := fmt.Sprintf("%s/file-%08d", dir, i)
		tx.Change(&v2store.Change{Action: v2store.Set, Key: key, Put: &v2store.Record{Key: key, Value: value}}, nil)
		if len(tx.Success) > 120 {
			flush()
		}
	}
	flush()
}

// TestEventsLargerThanAResponseAreJoined has more events to catch up with than a response may have.
func TestEventsLargerThanAResponseAreJoined(t *testing.T) {
	t.Parallel()
	f := start(t)
	other := open(t, f.options)
	f.away()
	for i := range 4 {
		op := parse(t, fmt.Sprintf("PUT /large/%d?value=1", i))
		op.Value = strings.Repeat("x", 1<<20)
		if a, err := other.Do(testContext(t), op); err != nil || a.Status != 201 {
			t.Fatalf("got the answer %d %.200s and the error %v", a.Status, a.Body, err)
		}
	}
	// One fragment has less than 4 MiB.
	f.Store.client.LimitResponses(7 << 19)
	_, lost, _ := f.watch("GET /none?wait=true")
	f.back()
	sameTree(t, other, f.Store)
	if len(lost) > 0 {
		t.Errorf("the watch is lost: %v", <-lost)
	}
}

// TestManyNodesAreRemovedAtOnce removes so many nodes that the events are larger than a request may be.
func TestManyNodesAreRemovedAtOnce(t *testing.T) {
	etcd, o := startEtcd(t)
	c, err := rpc.New(o.Endpoints, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fill(t, c, "", 5000, 200, "x")
	if err := create(testContext(t), c, "", 1000); err != nil {
		t.Fatal(err)
	}
	f := attach(t, etcd, o)
	f.right("the load")
	gone, _, _ := f.watch(fmt.Sprintf("GET /big/directory-%0200d/file-00004999?wait=true", 49))
	f.do("PUT /left?value=1")
	if got := f.do("DELETE /big?recursive=true"); !strings.HasPrefix(got, "200 ") {
		t.Fatal(got)
	}
	if got := next(t, gone); !strings.Contains(got, `"action":"delete","node":{"key":"/big"`) {
		t.Errorf("a watch below got %s, want the removal of the directory", got)
	}
	f.right("the removal")
	if got := f.do("GET /"); strings.Contains(got, "big") || !strings.Contains(got, "left") {
		t.Errorf("got %s, want only /left", got)
	}
	sameTree(t, f.Store, open(t, f.options))
}

func TestADamagedTreeIsServedWithoutItsDamage(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /d/a?value=1")
	f.do("PUT /d/b?value=1")
	f.do("PUT /e/f?value=1")
	c := f.client()
	_, err := c.Txn(testContext(t), &pb.TxnRequest{Success: []*pb.RequestOp{
		{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: f.keys.Data("/d/a")}}},
		{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: f.keys.Dir("/e")}}},
		{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: f.keys.Log(), Value: (&layout.Entry{Action: layout.Mark}).Encode()}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.reachNow(c); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{f.Store, open(t, f.options)} {
		damaged := &fixture{T: t, Store: s}
		if got := damaged.do("GET /?recursive=true"); strings.Contains(got, "/d/a") || strings.Contains(got, "/e") || !strings.Contains(got, "/d/b") {
			t.Errorf("got %s, want only /d/b", got)
		}
		damaged.right("a damaged load")
	}
}

func TestAStoreWithoutATreeIsNotServed(t *testing.T) {
	_, o := startEtcd(t)
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	eventually(t, "the store says what is missing", func() bool {
		_, err := s.Do(testContext(t), &v2store.Operation{Action: v2store.Get})
		return err != nil && strings.Contains(err.Error(), "migrate init")
	})
	if err := Init(testContext(t), o, 7); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := do(t, s, "GET /"); !strings.HasPrefix(got, "200 7 ") {
		t.Errorf("got %s, want an empty tree of the index 7", got)
	}
	if err := Init(testContext(t), o, 7); err == nil {
		t.Error("a second tree was made over the first")
	}
}

func TestATreeOfANewerLayoutIsRefused(t *testing.T) {
	f := start(t)
	c := f.client()
	for _, test := range []struct {
		meta        layout.Meta
		read, write bool
	}{
		{layout.Meta{Schema: 2, MinRead: 1, MinWrite: 2}, true, false},
		{layout.Meta{Schema: 2, MinRead: 2, MinWrite: 2}, false, false},
		{layout.Meta{Schema: 2, MinRead: 1, MinWrite: 1}, true, true},
	} {
		m := test.meta
		m.State, m.Offset, m.Generation = layout.Live, f.described().Offset, f.described().Generation
		if _, err := c.Put(testContext(t), &pb.PutRequest{Key: f.keys.Meta(), Value: m.Encode()}); err != nil {
			t.Fatal(err)
		}
		if test.read {
			if err := f.reachNow(c); err != nil {
				t.Fatal(err)
			}
		} else {
			eventually(t, "the tree is given up", func() bool { f.mu.RLock(); defer f.mu.RUnlock(); return f.reason != "" })
		}
		_, readErr := f.Do(testContext(t), parse(t, "GET /"))
		_, writeErr := f.Do(testContext(t), parse(t, "PUT /a?value=1"))
		if (readErr == nil) != test.read || (writeErr == nil) != test.write {
			t.Errorf("the layout %+v: got the errors %v of a read and %v of a write, want success %v and %v", m, readErr, writeErr, test.read, test.write)
		}
	}
}

func TestATreeIsMadeOnlyWhereNothingIs(t *testing.T) {
	_, o := startEtcd(t)
	c, err := rpc.New(o.Endpoints, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, test := range []struct{ key, prefix, want string }{
		{"/registry/x", "", `"/registry/x"`},
		{".v2/f/a", "", `".v2/f/a"`},
		{".v2/q/a", "", `".v2/q/a"`},
		{".v2/d/a", "", `description ".v2/meta" is missing`},
		{".v2/unknown", "", `".v2/unknown"`},
		{"/registry/x", "v2", ""},
		{".v2/s/waiting", "", ""},
		{"outside", "", "has a tree already"}, // made in the step before
		{".v2/d/a", "", "has a tree already"},
		{"outside", "/a", `in the range of the tree with the prefix ""`},
		{"outside", "v2/a/b", `in the range of the tree with the prefix "v2"`},
	} {
		if _, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte(test.key)}); err != nil {
			t.Fatal(err)
		}
		o.Prefix = test.prefix
		err := Init(testContext(t), o, 1)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("with the key %s and the prefix %q: got the error %v, want one with %q", test.key, test.prefix, err, test.want)
		}
		_, err = c.Txn(testContext(t), &pb.TxnRequest{Success: []*pb.RequestOp{{
			Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(test.key)}}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnInterruptedInitCanBeRepeated leaves a log without a tree.
func TestAnInterruptedInitCanBeRepeated(t *testing.T) {
	_, o := startEtcd(t)
	c, err := rpc.New(o.Endpoints, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	mark := layout.Entry{Action: layout.Mark}
	if _, err := c.Put(testContext(t), &pb.PutRequest{Key: layout.Keys("").Log(), Value: mark.Encode()}); err != nil {
		t.Fatal(err)
	}
	if err := Init(testContext(t), o, 50); err != nil {
		t.Fatal(err)
	}
	s := open(t, o)
	if got := do(t, s, "GET /"); !strings.HasPrefix(got, "200 50 ") {
		t.Errorf("got %s, want an empty tree of the index 50", got)
	}
}
