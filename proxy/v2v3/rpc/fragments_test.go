package rpc

import (
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestFragmentsAreReturnedAsTheyArrive catches up with more revisions than fit into one fragment. Some put
// several keys, and one puts more than a fragment has.
func TestFragmentsAreReturnedAsTheyArrive(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	c := newClient(t, "", "", endpoint(t, startEtcd(t).URL()))
	large := []byte(strings.Repeat("x", 400<<10))
	want := map[int64]int{}
	for i := range 12 {
		var r pb.TxnRequest
		for _, key := range []string{"k/a", "k/b", "k/c"}[:i%3+1] {
			r.Success = append(r.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: large}}})
		}
		answer, err := c.Txn(ctx, &r)
		if err != nil {
			t.Fatal(err)
		}
		want[answer.Header.Revision] = len(r.Success)
	}
	w, err := c.Watch(ctx, []byte("k/"), []byte("k0"), 1, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	parts, last := 0, int64(0)
	for len(want) > 0 {
		_, events, err := w.Next()
		if err != nil {
			t.Fatal(err)
		}
		got := map[int64]int{}
		for _, e := range events {
			if e.Kv.ModRevision < last {
				t.Errorf("the revision %d came after %d", e.Kv.ModRevision, last)
			}
			last = e.Kv.ModRevision
			got[last]++
		}
		for revision, n := range got {
			if n != want[revision] {
				t.Errorf("got %d events of the revision %d at once, want %d", n, revision, want[revision])
			}
			delete(want, revision)
		}
		if len(events) > 0 {
			parts++
		}
	}
	if parts < 2 || w.Partial() {
		t.Errorf("got all events in %d parts, and a part is missing: %v; want several parts, and none missing", parts, w.Partial())
	}
}
