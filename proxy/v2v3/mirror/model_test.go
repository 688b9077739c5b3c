package mirror_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

// keyspace has keys with revisions. It executes the operations of transactions without their compares.
type keyspace struct {
	keys     map[string]*mvccpb.KeyValue
	revision int64
}

func (k *keyspace) execute(operations []*pb.RequestOp) (events []*mvccpb.Event) {
	k.revision++
	for _, o := range operations {
		switch r := o.Request.(type) {
		case *pb.RequestOp_RequestPut:
			kv := &mvccpb.KeyValue{Key: r.RequestPut.Key, Value: r.RequestPut.Value, ModRevision: k.revision}
			k.keys[string(kv.Key)] = kv
			events = append(events, &mvccpb.Event{Type: mvccpb.PUT, Kv: kv})
		case *pb.RequestOp_RequestDeleteRange:
			for _, key := range k.between(r.RequestDeleteRange.Key, r.RequestDeleteRange.RangeEnd) {
				delete(k.keys, key)
				events = append(events, &mvccpb.Event{Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: k.revision}})
			}
		}
	}
	return events
}

func (k *keyspace) between(start, end []byte) []string {
	var found []string
	for key := range k.keys {
		if key == string(start) || end != nil && key >= string(start) && key < string(end) {
			found = append(found, key)
		}
	}
	return found
}

// all returns all keys in order.
func (k *keyspace) all() []*mvccpb.KeyValue {
	kvs := slices.Collect(maps.Values(k.keys))
	slices.SortFunc(kvs, func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
	return kvs
}

// loadEmpty loads a tree without nodes.
func loadEmpty(t *testing.T) (*keyspace, *layout.Meta, *mirror.Mirror) {
	t.Helper()
	k := &keyspace{keys: map[string]*mvccpb.KeyValue{}, revision: 10}
	meta := &layout.Meta{Offset: 1000}
	start := layout.Txn{Keys: "p", Meta: meta}
	start.Put(start.Keys.Log(), (&layout.Entry{Action: layout.Mark}).Encode())
	k.execute(start.Success)
	return k, meta, load(t, k, meta)
}

// TestAMirrorIsTheTreeThatWasStored plans random writes on a tree, stores them, and shuffles the events of each revision before
// the mirror applies them. The tree, its events, and a mirror that is loaded later must be equal.
func TestAMirrorIsTheTreeThatWasStored(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		k, meta, m := loadEmpty(t)
		tree := v2store.New(m.Tree.Index())
		now := time.Unix(1e9, 0)
		for range 150 {
			now = now.Add(time.Second)
			var c *v2store.Change
			if r.IntN(10) == 0 {
				c = v2store.PlanExpire(tree, now, nil)
			} else {
				c, _ = v2store.Plan(operation(r, tree, now), tree, now)
			}
			if c == nil {
				continue
			}
			tx := layout.Txn{Keys: "p", Meta: meta}
			tx.Change(c, nil)
			tx.Put(tx.Keys.Log(), (&layout.Entry{Action: c.Action, Key: c.Key, Time: c.Time, Refresh: c.Refresh, Origin: "s.1"}).Encode())
			events := k.execute(tx.Success)
			r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			revision, err := tx.Keys.Read(k.revision, events)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Apply(revision)
			if err != nil {
				t.Fatal(err)
			}
			want, err := tree.Apply(c, meta.Index(k.revision))
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Body()) != string(want.Body()) || got.Index != want.Index || got.Refresh != want.Refresh || !slices.Equal(got.Removed, want.Removed) {
				t.Fatalf("seed %d, %+v:\n got %s\nwant %s", seed, *c, got.Body(), want.Body())
			}
		}
		want := dump(tree, now)
		for what, have := range map[string]*mirror.Mirror{"was followed": m, "was loaded": load(t, k, meta), "was loaded in pages": loadPages(t, k, meta, 1+r.IntN(3))} {
			if got := dump(have.Tree, now); got != want {
				t.Fatalf("seed %d: the mirror that %s has\n%s\nwant\n%s", seed, what, got, want)
			}
			if got := difference(have, k); got != "" {
				t.Errorf("seed %d: the mirror that %s differs: %s", seed, what, got)
			}
		}
	}
}

// operation draws a write. Keys are few, so that operations meet.
func operation(r *rand.Rand, tree *v2store.Tree, now time.Time) *v2store.Operation {
	keys := []string{"/a", "/a/b", "/a/b/c", "/a/_h", "/d", "/d/e/f", "/d/e", "/f", "/x/y/z/w"}
	o := &v2store.Operation{Key: keys[r.IntN(len(keys))], Value: fmt.Sprint(r.IntN(3))}
	o.Action = []v2store.Action{v2store.Set, v2store.Set, v2store.Create, v2store.Update, v2store.CompareAndSwap, v2store.Delete, v2store.CompareAndDelete}[r.IntN(7)]
	switch o.Action {
	case v2store.Set, v2store.Create:
		o.Dir = r.IntN(4) == 0
		o.InOrder = o.Action == v2store.Create && r.IntN(2) == 0
	case v2store.Delete:
		o.Dir, o.Recursive = r.IntN(2) == 0, r.IntN(2) == 0
	case v2store.Update:
		if r.IntN(2) == 0 {
			o.Value = ""
		}
	case v2store.CompareAndSwap, v2store.CompareAndDelete:
		o.PrevIndex, _, _ = tree.Recorded(o.Key)
	}
	if o.Action != v2store.Delete && o.Action != v2store.CompareAndDelete {
		if r.IntN(3) == 0 {
			o.Expires = now.Add(time.Duration(r.IntN(8)) * time.Second).UnixNano()
		}
		o.Refresh = o.Action != v2store.Create && r.IntN(5) == 0
	}
	if o.Dir {
		o.Value = ""
	}
	return o
}

func load(t *testing.T, k *keyspace, meta *layout.Meta) *mirror.Mirror {
	t.Helper()
	return loadPages(t, k, meta, len(k.keys))
}

// loadPages loads the records of some files at a time, and then their values.
func loadPages(t *testing.T, k *keyspace, meta *layout.Meta, size int) *mirror.Mirror {
	t.Helper()
	l := mirror.NewLoading("p", layout.Schema, 1, meta, 1, k.revision)
	add := func(kvs []*mvccpb.KeyValue) {
		t.Helper()
		if err := l.Add(kvs); err != nil {
			t.Fatal(err)
		}
	}
	var kinds [3][]*mvccpb.KeyValue // files, values, and what comes before them
	for _, kv := range k.all() {
		kind := 2
		switch is, _ := layout.Keys("p").Parse(kv.Key); is {
		case layout.File:
			kind = 0
		case layout.Data:
			kind = 1
		}
		kinds[kind] = append(kinds[kind], kv)
	}
	add(kinds[2])
	files, values := kinds[0], kinds[1]
	for len(files) > 0 {
		n := min(size, len(files))
		add(files[:n])
		add(values[:n])
		files, values = files[n:], values[n:]
	}
	m, left, err := l.Finish()
	if err != nil || len(left) > 0 {
		t.Fatalf("loading left out %q, with the error %v", left, err)
	}
	return m
}

func difference(m *mirror.Mirror, k *keyspace) string {
	c := m.StartComparison()
	defer c.Stop()
	c.Compare(k.all())
	return c.Difference()
}

// dump returns all nodes, hidden ones included, with what clients do not see.
func dump(tree *v2store.Tree, now time.Time) string {
	var b strings.Builder
	fmt.Fprintln(&b, tree.Index(), tree.Len(), tree.Bytes(), tree.NextExpiry())
	for _, key := range []string{"", "/a/_h"} {
		a := tree.Answer(&v2store.Operation{Action: v2store.Get, Key: key, Recursive: true}, now)
		fmt.Fprintf(&b, "%d %s", a.Status, a.Body)
	}
	return b.String()
}
