package shadow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"etcd-tlsproxy/proxy/v2store"
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
		return nil, fmt.Errorf("it is not an event after the index %d", after)
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
func (w witness) Applying(m *mirror.Mirror, index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.compareBefore(m, index)
}

// Applied implements [v2v3.Witness].
func (w witness) Applied(m *mirror.Mirror, index uint64, keys []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure = "" // whoever has appended it
	w.place.apply(index, keys)
	w.compareUpTo(m, index)
}
