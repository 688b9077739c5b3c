package layout

import (
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
)

// Txn collects the compares and the operations of one transaction.
type Txn struct {
	Keys    Keys
	Meta    *Meta
	Compare []*pb.Compare
	Success []*pb.RequestOp
}

// exists demands that a key exists, or that it does not.
func (t *Txn) exists(key []byte, exists bool) {
	c := &pb.Compare{Target: pb.Compare_VERSION, Key: key, TargetUnion: &pb.Compare_Version{Version: 0}}
	if exists {
		c.Result = pb.Compare_GREATER
	}
	t.Compare = append(t.Compare, c)
}

// Modified demands that a key was last put at a revision. The revision of a missing key is 0.
func (t *Txn) Modified(key []byte, revision int64) {
	t.Compare = append(t.Compare, &pb.Compare{Target: pb.Compare_MOD, Key: key, TargetUnion: &pb.Compare_ModRevision{ModRevision: revision}})
}

// Value demands that a key has a value.
func (t *Txn) Value(key, value []byte) {
	t.Compare = append(t.Compare, &pb.Compare{Target: pb.Compare_VALUE, Key: key, TargetUnion: &pb.Compare_Value{Value: value}})
}

// empty demands that nothing is below a key.
func (t *Txn) empty(key []byte) {
	t.Vacant(Below(key))
}

// Vacant demands that a range has no keys.
func (t *Txn) Vacant(start, end []byte) {
	t.Compare = append(t.Compare, &pb.Compare{Target: pb.Compare_VERSION, Key: start, RangeEnd: end, TargetUnion: &pb.Compare_Version{Version: 0}})
}

// Put adds a put.
func (t *Txn) Put(key, value []byte) {
	t.Success = append(t.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: value}}})
}

// Delete adds the deletion of one key.
func (t *Txn) Delete(key []byte) { t.delete(key, nil) }

// DeleteRange adds the deletion of all keys of a range.
func (t *Txn) DeleteRange(start, end []byte) { t.delete(start, end) }

// Thaw gives a tree the state that it had before it was frozen.
func (t *Txn) Thaw(m *Meta) {
	before := *m
	before.State, before.Before = cmp.Or(m.Before, Unfinished), ""
	t.Put(t.Keys.Meta(), before.Encode())
}

func (t *Txn) delete(key, end []byte) {
	t.Success = append(t.Success, &pb.RequestOp{
		Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key, RangeEnd: end}}})
}

// deleteBelow deletes everything below a key.
func (t *Txn) deleteBelow(key []byte) { t.delete(Below(key)) }

// Facts demands that facts hold.
func (t *Txn) Facts(facts []v2store.Fact) {
	k := t.Keys
	for _, f := range facts {
		switch f.Kind {
		case v2store.DirExists:
			t.exists(k.Dir(f.Key), true)
		case v2store.FileExists:
			t.exists(k.File(f.Key), true)
		case v2store.NoDir:
			t.exists(k.Dir(f.Key), false)
		case v2store.Absent:
			t.exists(k.Dir(f.Key), false)
			t.exists(k.File(f.Key), false)
		case v2store.Empty:
			t.empty(k.Dir(f.Key))
			t.empty(k.File(f.Key))
		case v2store.Recorded:
			key := k.File(f.Key)
			if f.Dir {
				key = k.Dir(f.Key)
			}
			t.Modified(key, t.Meta.Revision(f.Index))
		case v2store.LastIndex:
			t.Modified(k.Log(), t.Meta.Revision(f.Index))
		default:
			panic("BUG: a fact has no kind")
		}
	}
}

// Change stores a change. The extra fields are those of the record that it modifies.
func (t *Txn) Change(c *v2store.Change, extra Extra) {
	k := t.Keys
	for _, dir := range c.Dirs {
		t.Put(k.Dir(dir), nil)
	}
	if c.Action == v2store.Set || c.Action == v2store.Create {
		extra = nil
	}
	switch {
	case c.Put != nil && c.Put.Dir:
		if c.DropFile {
			t.delete(k.Data(c.Key), nil)
			t.delete(k.File(c.Key), nil)
		}
		t.Put(k.Dir(c.Key), EncodeRecord(c.Put, extra))
	case c.Put != nil:
		t.Put(k.File(c.Key), EncodeRecord(c.Put, extra))
		if !c.KeepValue {
			t.Put(k.Data(c.Key), []byte(c.Put.Value))
		}
	case removesDir(c):
		t.delete(k.Dir(c.Key), nil)
		t.delete(k.Queue(c.Key), nil)
		if c.Below {
			t.deleteBelow(k.Data(c.Key))
			t.deleteBelow(k.File(c.Key))
			t.deleteBelow(k.Dir(c.Key))
			t.deleteBelow(k.Queue(c.Key))
		}
	default:
		t.delete(k.Data(c.Key), nil)
		t.delete(k.File(c.Key), nil)
	}
}

// removesDir reports whether a removal is that of a directory. Its facts say so.
func removesDir(c *v2store.Change) bool {
	for _, f := range c.Facts {
		if f.Key == c.Key && (f.Kind == v2store.DirExists || f.Kind == v2store.Recorded && f.Dir) {
			return true
		}
	}
	return false
}
