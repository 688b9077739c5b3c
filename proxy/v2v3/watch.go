package v2v3

import (
	"errors"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

// Event is an event of the tree as watches receive it.
type Event = mirror.Event

// watcher is a watch of a client.
type watcher struct {
	inner   *v2store.Watcher
	deliver func(*Event)
	lost    func(error)
}

// delivery is an event that a watcher is due to receive.
type delivery struct {
	to    *watcher
	event *v2store.Event
	last  bool
}

// Watch registers a watch. The head is its answer: if it failed, there is no watch, and stop does
// nothing. Otherwise deliver receives the events in order. It must not block. An event
// that is being delivered may still arrive while stop runs. The function lost is called once
// if events may have been missed; the watch has ended then.
func (s *Store) Watch(op *v2store.Operation, deliver func(*Event), lost func(error)) (stop func(), head v2store.Answer, err error) {
	if err := s.catchUp(s.ctx); err != nil {
		return func() {}, v2store.Answer{}, err
	}
	w := &watcher{deliver: deliver, lost: lost}
	s.mu.Lock()
	if err := s.usable(); err != nil {
		s.mu.Unlock()
		return func() {}, v2store.Answer{}, err
	}
	m, registered := s.m, false
	var late *v2store.Event
	inner, failure := m.Watches.Start(op, m.Tree, m.History, func(e *v2store.Event) {
		if registered {
			s.due = append(s.due, delivery{w, e, !op.Stream})
		} else {
			late = e
		}
	})
	if failure != nil {
		s.mu.Unlock()
		return func() {}, failure.Answer(), nil
	}
	registered = true
	w.inner, head = inner, v2store.WatchHead(inner.Index)
	if late != nil {
		event := m.Rendered(late)
		s.mu.Unlock()
		if event == nil {
			event = s.keep(m, mirror.NewEvent(late)) // others must not wait while it is rendered
		}
		deliver(event)
		return func() {}, head, nil
	}
	s.watchers[w] = struct{}{}
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
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watchers, w)
	m.Watches.Stop(w.inner)
}

// deliveries returns what is due and how to render it. The caller holds the lock.
func (s *Store) deliveries() ([]delivery, *Event) {
	due := s.due
	if len(due) == 0 {
		return nil, nil
	}
	s.due = nil
	for _, d := range due {
		if d.last {
			delete(s.watchers, d.to)
		}
	}
	return due, s.m.Render(due[0].event)
}

// breakOff ends all watches.
func (s *Store) breakOff(reason string) {
	s.mu.Lock()
	watchers := s.watchers
	s.watchers = map[*watcher]struct{}{}
	if s.m != nil {
		s.m.Watches = v2store.NewWatches()
	}
	s.mu.Unlock()
	err := errors.New(reason)
	for w := range watchers {
		w.lost(err)
	}
}
