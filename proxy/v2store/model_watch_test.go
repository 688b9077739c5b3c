package v2store_test

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/server/v3/etcdserver/api/v2error"
	etcdstore "go.etcd.io/etcd/server/v3/etcdserver/api/v2store"

	"etcd-tlsproxy/proxy/v2store"
)

// receive is a function that watches.
type receive func(*v2store.Event)

func (r receive) Receive(e *v2store.Event) { r(e) }

// pair is a watch of the same key in both.
type pair struct {
	name   string
	stream bool
	theirs etcdstore.Watcher
	ours   []*v2store.Event
	heard  int
}

func (m *model) watch() {
	o := &v2store.Operation{Action: v2store.Watch, Key: m.Key(), Recursive: m.Once(2), Stream: m.Once(2)}
	switch index := m.tree.Index(); m.IntN(4) {
	case 0:
		o.Since = m.Uint64N(index + 4)
	case 1, 2:
		o.Since = max(index+3, 8) - m.Uint64N(8)
	}
	if index := m.tree.Index(); index > 1000 && m.Once(4) {
		o.Since = 1 + m.Uint64N(index-990) // near the start of the history
	}
	p := &pair{stream: o.Stream, name: fmt.Sprintf("watch %+v at %d", *o, m.tree.Index())}
	w, failure := m.watches.Start(o, m.tree, m.history, receive(func(e *v2store.Event) { p.ours = append(p.ours, e) }))
	theirs, err := m.ref.store.Watch("/1"+o.Key, o.Recursive, o.Stream, o.Since)
	if failure != nil || err != nil {
		m.compareErrors(p.name, failure, err)
		return
	}
	if w.Index != theirs.StartIndex() {
		m.Fatalf("%s has index %d, want %d", p.name, w.Index, theirs.StartIndex())
	}
	p.theirs = theirs
	m.counts.add("watch, recursive %v, stream %v, from history %v", o.Recursive, o.Stream, len(p.ours) > 0)
	m.pairs = append(m.pairs, p)
}

func (m *model) compareErrors(name string, got *v2store.Error, err error) {
	var want *v2error.Error
	if !errors.As(err, &want) || got == nil {
		m.Fatalf("%s: got error %v, want %v", name, got, err)
	}
	if got.Code != want.ErrorCode || got.Cause != want.Cause || got.Index != want.Index || got.Message != want.Message {
		m.Fatalf("%s: got %+v, want %+v", name, got, want)
	}
	m.counts.add("watch fails with %d", got.Code)
}

// compareEvents compares what the watches have received since the last step.
func (m *model) compareEvents() {
	for _, p := range m.pairs {
		var want []string
		for more := true; more; {
			select {
			case e := <-p.theirs.EventChan():
				want = append(want, string(event(e).Body()))
			default:
				more = false
			}
		}
		var got []string
		for _, e := range p.ours[p.heard:] {
			got = append(got, string(e.Body()))
		}
		for i, e := range p.ours[p.heard:] {
			m.counts.add("watch receives %s, stream %v, second time %v", e.Action, p.stream, i > 0 && got[i] == got[i-1])
		}
		p.heard = len(p.ours)
		if !slices.Equal(got, want) {
			m.Fatalf("%s received %q, want %q", p.name, got, want)
		}
	}
}
