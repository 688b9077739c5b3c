package layout

import (
	"fmt"
	"slices"
	"strconv"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2store"
)

// Revision is what one revision did to the keys of a tree. The order of the events in a revision
// is not documented, so nothing rests on it.
type Revision struct {
	Number int64
	// Entry is nil if the revision is no event of the tree.
	Entry *Entry
	// Change is nil if the revision is no event, or only a mark.
	Change *v2store.Change
	// Batch are the changes of a batch; nil if it is none.
	Batch []Batched
	// Removed is the number of nodes that were removed, a replaced file included.
	Removed int
	// Extra are the unknown fields of the record that was put.
	Extra Extra
	// Log is the stored value of the entry.
	Log []byte
	// Other are the events of keys that are neither nodes nor log.
	Other []*mvccpb.Event
	// Gone are the keys of values that were deleted.
	Gone []string
	// Strange are the keys of nodes and values that changed although it is no event.
	Strange []*mvccpb.Event
}

// Read reads the events of one revision.
func (k Keys) Read(number int64, events []*mvccpb.Event) (*Revision, error) {
	r := &Revision{Number: number}
	for _, e := range events {
		if kind, _ := k.Parse(e.Kv.Key); kind == Log && e.Type == mvccpb.PUT {
			entry, err := DecodeEntry(e.Kv.Value)
			if err != nil {
				return nil, fmt.Errorf("reading the revision %d: %w", number, err)
			}
			r.Entry, r.Log = entry, e.Kv.Value
		}
	}
	switch {
	case r.Entry == nil || r.Entry.Action == Mark:
	case r.Entry.Action == Batch:
		r.Batch = r.Entry.Batch
	default:
		r.Change = &v2store.Change{Action: r.Entry.Action, Key: r.Entry.Key, Time: r.Entry.Time, Refresh: r.Entry.Refresh}
	}
	if err := r.read(k, events); err != nil {
		return nil, fmt.Errorf("reading the revision %d: %w", number, err)
	}
	return r, nil
}

func (r *Revision) read(k Keys, events []*mvccpb.Event) error {
	var value *string
	c := r.Change
	for _, e := range events {
		kind, key := k.Parse(e.Kv.Key)
		put := e.Type == mvccpb.PUT
		switch {
		case kind == Log:
			if !put {
				r.Strange = append(r.Strange, e)
			}
		case kind != Data && kind != File && kind != Dir:
			r.Other = append(r.Other, e)
		case r.Entry == nil:
			r.Strange = append(r.Strange, e)
		case r.Batch != nil:
			if kind == Data && put {
				r.fill(key, e.Kv.Value)
			}
		case c == nil:
			// A mark may come with any change. Whoever has the tree loads it again.
		case kind == Data:
			if !put {
				r.Gone = append(r.Gone, key)
			} else if key == c.Key {
				text := string(e.Kv.Value)
				value = &text
			}
		case !put:
			r.Removed++
			c.Below = c.Below || key != c.Key
		case key == c.Key:
			c.Put = &v2store.Record{Key: key, Dir: kind == Dir}
			var err error
			if r.Extra, err = DecodeRecord(e.Kv.Value, c.Put); err != nil {
				return err
			}
		case kind == Dir:
			c.Dirs = append(c.Dirs, key)
		default:
			return fmt.Errorf("the event is about %q, but the record of %q is put", c.Key, key)
		}
	}
	if c != nil {
		r.finish(value)
	}
	return nil
}

// finish puts together what the order of the events left open.
func (r *Revision) finish(value *string) {
	c := r.Change
	// They are parents of each other.
	slices.SortFunc(c.Dirs, func(a, b string) int { return len(a) - len(b) })
	switch {
	case c.Put == nil:
	case c.Put.Dir:
		c.DropFile = r.Removed > 0
	case value == nil:
		c.KeepValue = true
	default:
		c.Put.Value = *value
	}
}

// EncodeQueue returns the value of a queue.
func EncodeQueue(name uint64) []byte { return strconv.AppendUint(nil, name, 10) }

// DecodeQueue decodes the value of a queue.
func DecodeQueue(value []byte) (uint64, error) {
	name, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("decoding the last name of a queue: %w", err)
	}
	return name, nil
}
