package changeover

import (
	"fmt"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

// fill raises the alarm of a store that is full, which takes only removals.
func (f *fleet) fill() {
	f.Helper()
	status, err := f.client.Maintenance().Status(f.context(), &pb.StatusRequest{})
	if err == nil {
		_, err = f.client.Maintenance().Alarm(f.context(), &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: status.Header.MemberId, Alarm: pb.AlarmType_NOSPACE})
	}
	if err != nil {
		f.Fatal(err)
	}
}

// copied puts what a command has copied, and a key of another program.
func (f *fleet) copied(files int) {
	f.Helper()
	f.put(f.keys.Log(), []byte("{}"), 0)
	f.put(f.keys.Dir("/a"), []byte("{}"), 0)
	f.put(f.keys.Queue(""), []byte("1"), 0)
	f.put(f.keys.Queue("/a"), []byte("1"), 0)
	for i := range files {
		key := fmt.Sprintf("/a/%d", i)
		f.put(f.keys.File(key), []byte("{}"), 0)
		f.put(f.keys.Data(key), []byte("1"), 0)
	}
	f.put(f.keys.Data("/a/other"), []byte("1"), 0)
}

// left returns the keys of the tree's range, without those of proxies.
func (f *fleet) left() string {
	f.Helper()
	start, end := f.keys.Range()
	answer, err := f.client.Range(f.context(), &pb.RangeRequest{Key: start, RangeEnd: end, KeysOnly: true})
	if err != nil {
		f.Fatal(err)
	}
	var keys []string
	for _, kv := range answer.Kvs {
		if kind, _ := f.keys.Parse(kv.Key); kind != layout.Session {
			keys = append(keys, string(kv.Key))
		}
	}
	return strings.Join(keys, " ")
}

// TestAFullStoreThawsByTheRemovalOfTheTree has more files than one transaction removes.
func TestAFullStoreThawsByTheRemovalOfTheTree(t *testing.T) {
	f := newFleet(t)
	m := f.proxy(nil)
	f.admitted(m).Done()
	release := f.lock()
	f.copied(maxFiles*2 + 1)
	f.await(f.describe(layout.Frozen))
	held := f.held(m)
	before := f.left()
	f.fill()
	meta := &layout.Meta{}
	if done, err := Thaw(f.context(), f.client, f.keys, meta, func(t *layout.Txn) { t.Vacant(f.keys.Lock(), nil) }); done || err != nil {
		t.Errorf("while the command holds the lock: got %t, %v; want that nothing is done", done, err)
	}
	if left := f.left(); left != before {
		t.Errorf("while the command holds the lock: the keys were %s, and are %s", before, left)
	}
	release()
	if err := <-held; err != nil {
		t.Errorf("a write that was held by a command that is gone: got %v, want it admitted", err)
	}
	if left := f.left(); left != "p/a/other" {
		t.Errorf("the store has %q, want nothing but the key of another program", left)
	}
}

func TestAFreezeIsEndedInAFullStore(t *testing.T) {
	f := newFleet(t)
	m := f.proxy(nil)
	f.admitted(m).Done()
	f.lock()
	f.copied(1)
	f.await(f.describe(layout.Frozen))
	f.fill()
	frozen, err := Look(f.context(), f.client, f.keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := frozen.Abort(f.context(), f.client, f.keys); err != nil {
		t.Error(err)
	}
	f.reach(m, V2)
	if left := f.left(); left != "p/a/other" {
		t.Errorf("the store has %q, want nothing but the key of another program", left)
	}
}
