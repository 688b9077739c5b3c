package changeover

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// fill raises the alarm of a store that is full, which takes only removals, and makeRoom ends it.
func (f *fleet) fill()     { f.alarm(pb.AlarmRequest_ACTIVATE) }
func (f *fleet) makeRoom() { f.alarm(pb.AlarmRequest_DEACTIVATE) }

func (f *fleet) alarm(action pb.AlarmRequest_AlarmAction) {
	f.Helper()
	status, err := f.client.Maintenance().Status(f.context(), &pb.StatusRequest{})
	if err == nil {
		_, err = f.client.Maintenance().Alarm(f.context(), &pb.AlarmRequest{Action: action, MemberID: status.Header.MemberId, Alarm: pb.AlarmType_NOSPACE})
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
	t.Parallel()
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

// TestATreeOfANewerLayoutIsNotRemovedByAThaw has a full store, and a tree that only a newer program may write.
func TestATreeOfANewerLayoutIsNotRemovedByAThaw(t *testing.T) {
	f := newFleet(t)
	f.copied(3)
	before := f.left()
	f.fill()
	meta := &layout.Meta{MinRead: 1, MinWrite: layout.Schema + 1}
	if done, err := Thaw(f.context(), f.client, f.keys, meta, func(*layout.Txn) {}); done || !rpc.NoSpace(err) {
		t.Errorf("got %t, %v; want that the store is full", done, err)
	}
	if left := f.left(); left != before {
		t.Errorf("the keys were %s, and are %s", before, left)
	}
	f.makeRoom()
}

func TestAFreezeIsEndedInAFullStore(t *testing.T) {
	t.Parallel()
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

// TestAFullStoreDoesNotStopTheV2API has a proxy start when the store takes no session.
func TestAFullStoreDoesNotStopTheV2API(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.fill()
	m := f.proxy(nil)
	w, next := f.admitted(m), f.admitted(m)
	if err := w.Confirm(f.context()); err != nil {
		t.Errorf("a write without a session: got %v, want it confirmed", err)
	}
	w.Done()
	// A command moves the keys while the other write is under way.
	f.makeRoom()
	f.lock()
	revision := f.describe(layout.Frozen)
	if err := next.Confirm(f.context()); !errors.Is(err, ErrUnknown) {
		t.Errorf("a write without a session that was executed after the tree was frozen: got %v, want %v", err, ErrUnknown)
	}
	next.Done()
	f.await(revision) // the proxy has a session now
	held := f.held(m)
	f.describe(layout.Unfinished)
	if err := <-held; err != nil {
		t.Errorf("a write after the freeze: got %v, want it admitted", err)
	}
	last := f.admitted(m)
	defer last.Done()
	if last.name == "" {
		t.Error("a store that has room: a write was admitted without a session")
	}
}

// TestAFullStoreBelowALiveTreeTakesNoWriteOfTheV2API has a proxy without a session learn of a move.
func TestAFullStoreBelowALiveTreeTakesNoWriteOfTheV2API(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.describe(layout.Live)
	f.fill()
	m := f.proxy(nil)
	if w, err := m.admit(f.context()); !errors.Is(err, ErrSwitched) {
		t.Errorf("got %v, %v; want %v", w, err, ErrSwitched)
	}
}
