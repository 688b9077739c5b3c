package v2v3

import (
	"errors"
	"sync/atomic"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

// Event is an event of the tree as watches receive it.
type Event = mirror.Event

// watcher is a watch of a client.
type watcher struct {
	s       *Store
	stream  bool
	inner   *v2store.Watcher // nil until the watch is registered
	late    *v2store.Event   // the event, if it existed before
	ended   atomic.Bool      // with its event
	deliver func(*Event)
	lost    func(error)
}

// Receive implements [v2store.Receiver]. The lock of the store is held.
func (w *watcher) Receive(e *v2store.Event) {
	if w.inner == nil {
		w.late = e
		return
	}
	w.ended.Store(!w.stream)
	w.s.due.event = e
	w.s.due.to = append(w.s.due.to, w)
}

// delivery is an event and the watchers that are due to receive it.
type delivery struct {
	event *v2store.Event
	to    []*watcher
}

// Watch registers a watch. The head is its answer: if it failed, there is no watch, and stop does
// nothing. Otherwise deliver receives the events in order. It must not block. An event
// that is being delivered may still arrive while stop runs. The function lost is called once
// if events may have been missed; the watch has ended then.
func (s *Store) Watch(op *v2store.Operation, deliver func(*Event), lost func(error)) (stop func(), head v2store.Answer, err error) {
	if err := s.catchUp(s.ctx); err != nil {
		return func() {}, v2store.Answer{}, err
	}
	w := &watcher{s: s, stream: op.Stream, deliver: deliver, lost: lost}
	s.mu.Lock()
	if err := s.usable(); err != nil {
		s.mu.Unlock()
		return func() {}, v2store.Answer{}, err
	}
	m := s.m
	inner, failure := m.Watches.Start(op, m.Tree, m.History, w)
	if failure != nil {
		s.mu.Unlock()
		return func() {}, failure.Answer(), nil
	}
	w.inner, head = inner, v2store.WatchHead(inner.Index)
	if w.late != nil {
		event := m.Rendered(w.late)
		s.mu.Unlock()
		if event == nil {
			event = s.keep(m, mirror.NewEvent(w.late)) // others must not wait while it is rendered
		}
		deliver(event)
		return func() {}, head, nil
	}
	s.mu.Unlock()
	return func() { s.stopWatch(m, w) }, head, nil
}

// keep keeps an event of a mirror for late watches.
func (s *Store) keep(m *mirror.Mirror, e *Event) *Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.Keep(e)
}

func (s *Store) stopWatch(m *mirror.Mirror, w *watcher) {
	if w.ended.Load() {
		return // thousands end at once, and would wait for the lock
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Watches.Stop(w.inner)
}

// watches returns the number of watches. The caller holds the lock.
func (s *Store) watches() int {
	if s.m == nil {
		return 0
	}
	return s.m.Watches.Len()
}

// breakOff ends all watches.
func (s *Store) breakOff(reason string) {
	var watching []v2store.Receiver
	s.mu.Lock()
	if s.m != nil {
		watching = s.m.Watches.Receivers()
		s.m.Watches = v2store.NewWatches()
	}
	s.mu.Unlock()
	err := errors.New(reason)
	for _, r := range watching {
		r.(*watcher).lost(err)
	}
}
