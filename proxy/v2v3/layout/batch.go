package layout

import "etcd-tlsproxy/proxy/v2store"

// Batch is the action of an entry for several changes of the tree of a rehearsal. One transaction makes them all, so that
// the store can follow many writers who do not wait for each other.
const Batch v2store.Action = "batch"

// Batched is one change of a batch. It has its own index, which is that of another store.
type Batched struct {
	Index  uint64         `json:"i"`
	Action v2store.Action `json:"a"`
	Key    string         `json:"k"`
	// Dir is the kind of the node, and Put means that it is not removed.
	Dir bool `json:"d,omitempty"`
	Put bool `json:"p,omitempty"`
	// Value is that of a file that is put. The entry has it only if another change of the batch replaces it.
	Value *string `json:"v,omitempty"`
	// The rest is as in a record, which always has the indexes.
	Created  uint64 `json:"c,omitempty"`
	Modified uint64 `json:"m,omitempty"`
	Expires  int64  `json:"e,omitempty"`
	// DropFile means that a directory replaces a file.
	DropFile bool `json:"f,omitempty"`
}

// Change returns the change, whose event shows the time that is left at a time.
func (b *Batched) Change(time int64) *v2store.Change {
	c := &v2store.Change{Action: b.Action, Key: b.Key, Time: time, DropFile: b.DropFile}
	if !b.Put {
		if c.Below = b.Dir; b.Dir {
			c.Facts = []v2store.Fact{{Kind: v2store.DirExists, Key: b.Key}} // so that its records are removed
		}
		return c
	}
	c.Put = &v2store.Record{Key: b.Key, Dir: b.Dir, Created: b.Created, Modified: b.Modified, Expires: b.Expires}
	if b.Value != nil {
		c.Put.Value = *b.Value
	}
	return c
}

// Batch makes the changes of a batch in their order, and puts the log. None may be of a node below one that it removes.
func (t *Txn) Batch(list []Batched, time int64, origin string) {
	type node struct { // a file and a directory have records of their own
		key string
		dir bool
	}
	last := make(map[node]int, len(list))
	for i := range list {
		last[node{list[i].Key, list[i].Dir}] = i
	}
	entry := Entry{Action: Batch, Time: time, Origin: origin, Batch: make([]Batched, len(list))}
	for i := range list {
		entry.Batch[i] = list[i]
		if last[node{list[i].Key, list[i].Dir}] == i { // the others leave no trace
			entry.Batch[i].Value = nil
			t.Change(list[i].Change(time), nil)
		}
	}
	t.Put(t.Keys.Log(), entry.Encode())
}

// fill gives a batch the value of a file that was put.
func (r *Revision) fill(key string, value []byte) {
	for i := len(r.Batch) - 1; i >= 0; i-- {
		if b := &r.Batch[i]; b.Key == key && b.Put && !b.Dir {
			text := string(value)
			b.Value = &text
			return
		}
	}
}
