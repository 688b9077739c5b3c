package shadow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

// message is an answer of the v2 API: an event, what a read found, or an error.
type message struct {
	Action   v2store.Action `json:"action"`
	Node     *v2store.Node  `json:"node"`
	PrevNode *v2store.Node  `json:"prevNode"`
	v2store.Error
}

// decode decodes an answer. A field that is not known is an error: an answer is compared as a whole.
func decode(body []byte) (*message, error) {
	m := new(message)
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, errors.New("it is not what an answer of etcd is known to be") // the error of the decoder may have a value
	}
	return m, nil
}

// event is a change of the v2 store.
type event struct {
	// after is the index after which no other event precedes this one.
	after, index uint64
	action       v2store.Action
	node         *v2store.Node
	bytes        int64 // what it is charged
}

// newEvent reads the answer to a watch.
func newEvent(after uint64, body []byte) (*event, error) {
	m, err := decode(body)
	if err != nil {
		return nil, err
	}
	if m.Node == nil || m.Node.ModifiedIndex <= after || m.Node.Key == "" {
		return nil, fmt.Errorf("it is no event after the index %d", after)
	}
	switch m.Action {
	case v2store.Set, v2store.Create, v2store.Update, v2store.CompareAndSwap, v2store.Delete, v2store.CompareAndDelete, v2store.Expire:
	default:
		return nil, errors.New("the action of the event is not known")
	}
	return &event{after: after, index: m.Node.ModifiedIndex, action: m.Action, node: m.Node}, nil
}

func (e *event) removes() bool {
	return e.action == v2store.Delete || e.action == v2store.CompareAndDelete || e.action == v2store.Expire
}

// step returns the next change that makes the tree what the event says, and the origin of its entry. Misfit says
// what the tree is unlike the v2 store before the event; "" if it fits.
func (e *event) step(m *mirror.Mirror) (c *v2store.Change, last bool, misfit string) {
	t, key := m.Tree, e.node.Key
	old, found := t.Record(key)
	if e.removes() {
		if !found {
			return nil, true, "the shadow does not have the node that is removed"
		}
		if old.Dir != e.node.Dir {
			misfit = "the shadow has a node of another kind"
		}
		return removal(e.action, &old), true, misfit
	}
	for end := strings.IndexByte(key[1:], '/') + 1; end > 0; {
		switch above, there := t.Record(key[:end]); {
		case !there:
			return e.put(v2store.Create, &v2store.Record{Key: key[:end], Dir: true}), false, ""
		case !above.Dir:
			return removal(v2store.Delete, &above), false, "the shadow has a file above the key"
		}
		next := strings.IndexByte(key[end+1:], '/')
		if next < 0 {
			break
		}
		end += 1 + next
	}
	if found && old.Dir && !e.node.Dir {
		return removal(v2store.Delete, &old), false, "the shadow has a directory at the key"
	}
	return e.final(&old, found)
}

// final returns the change of the node itself, whose directory exists.
func (e *event) final(old *v2store.Record, found bool) (c *v2store.Change, last bool, misfit string) {
	n := e.node
	r := &v2store.Record{Key: n.Key, Dir: n.Dir, Created: n.CreatedIndex}
	if n.Value != nil {
		r.Value = *n.Value
	}
	if n.Expiration != nil {
		r.Expires = n.Expiration.UnixNano()
	}
	action := e.action
	modifies := action == v2store.Update || action == v2store.CompareAndSwap
	switch {
	case modifies && !found:
		action, misfit = v2store.Set, "the shadow does not have the node"
	case action == v2store.Create && found:
		action, misfit = v2store.Set, "the shadow has the node already"
	case modifies && old.Dir != n.Dir:
		action, misfit = v2store.Set, "the shadow has a node of another kind"
	}
	if found && old.Dir && action != v2store.Update {
		action = v2store.Update // a directory is never replaced
	}
	c = e.put(action, r)
	if action == v2store.Update && old.Dir {
		r.Modified = old.Modified
	}
	c.DropFile = found && !old.Dir && n.Dir
	return c, true, misfit
}

func (e *event) put(action v2store.Action, r *v2store.Record) *v2store.Change {
	r.Modified = e.index
	if r.Created == 0 {
		r.Created = e.index
	}
	return &v2store.Change{Action: action, Key: r.Key, Put: r}
}

// removal returns the removal of a node with everything below it.
func removal(action v2store.Action, r *v2store.Record) *v2store.Change {
	c := &v2store.Change{Action: action, Key: r.Key, Below: r.Dir}
	if r.Dir {
		c.Facts = []v2store.Fact{{Kind: v2store.DirExists, Key: r.Key}}
	}
	return c
}

// witness sees the revisions of the tree.
type witness struct{ *Shadow }

// Loaded implements [v2v3.Witness].
func (w witness) Loaded(m *mirror.Mirror) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.Meta.Generation != w.place.generation {
		w.lost, w.failure = "", ""
	}
	w.place.load(m)
	w.skipWaiting(Behind)
	w.reader.wake()
	w.o.Log.Info("the shadow follows the copy of a rehearsal", "copied", m.Meta.Copied, "index", w.place.index)
}

// Applying implements [v2v3.Witness].
func (w witness) Applying(m *mirror.Mirror, r *layout.Revision) {
	if r.Entry == nil {
		return
	}
	index, _, ok := indexOf(r.Entry.Origin)
	w.mu.Lock()
	defer w.mu.Unlock()
	if ok && !w.place.partial {
		w.compareBefore(m, index)
	}
}

// Applied implements [v2v3.Witness].
func (w witness) Applied(m *mirror.Mirror, r *layout.Revision) {
	if r.Entry == nil {
		return
	}
	index, partial, ok := indexOf(r.Entry.Origin)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !ok { // somebody else has changed the tree; the next comparisons show what
		return
	}
	w.place.apply(index, partial, r.Entry.Key)
	if !partial {
		w.compareUpTo(m, index)
	}
}
