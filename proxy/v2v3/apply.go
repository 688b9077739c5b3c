package v2v3

import (
	"context"
	"time"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

// setEnd sets the function that ends the connection.
func (s *Store) setEnd(end context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = end
}

// current returns the mirror in use.
func (s *Store) current() *mirror.Mirror {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m
}

// apply applies a revision to the mirror in use, or to one that is still behind.
func (s *Store) apply(m *mirror.Mirror, r *layout.Revision, used bool) error {
	s.mu.Lock()
	e, err := m.Apply(r)
	switch {
	case err != nil && used:
		s.reason = err.Error()
	case used:
		s.advance(r.Number)
	}
	if err == nil && e != nil {
		s.count(r.Number, e)
		s.resolve(r.Entry.Origin, e)
	}
	var due delivery
	if used {
		if len(r.Other) > 0 {
			s.checkVersion()
		}
		due, s.due = s.due, delivery{}
	}
	s.mu.Unlock()
	if len(due.to) > 0 {
		event := s.keep(m, mirror.NewEvent(due.event)) // others must not wait while it is rendered
		for _, w := range due.to {
			w.deliver(event)
		}
	}
	if used {
		s.observe(r)
	}
	if len(r.Strange) > 0 && used && time.Since(s.warned) > auditSoon {
		s.warned = time.Now()
		s.o.Log.Warn("a client of v3 has changed the keys of the tree", "revision", r.Number, "keys", len(r.Strange), "one of them", string(r.Strange[0].Kv.Key))
	}
	return err
}

// count counts an event, once. A mirror that is loaded again has some events of the one before.
func (s *Store) count(revision int64, e *v2store.Event) {
	if s.counted > 0 && revision > s.counted {
		s.counted = revision
		s.counts.Succeeded(e.Action)
	}
}

// resume goes on with the mirror in use.
func (s *Store) resume(after int64, st *state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m.Meta, s.m.MetaRevision, s.m.Control = st.meta, st.metaAt, st.control
	s.m.Applied = max(s.m.Applied, after)
	s.advance(s.m.Applied)
	s.connected()
}

// replace puts another mirror into use.
func (s *Store) replace(m *mirror.Mirror) {
	s.breakOff("the tree was loaded again")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m, s.reason, s.pastFailures, m.Replaying = m, "", 0, false
	s.counted = m.Applied
	s.loads.Add(1)
	s.audits.loaded()
	if m.Witness = s.o.Rehearsal; m.Witness != nil {
		m.Witness.Loaded(m)
	}
	close(s.rebuilt)
	s.rebuilt = make(chan struct{})
	s.advance(m.Applied)
	s.connected()
}

// checkVersion takes note of whether this program may write the tree. The caller holds the lock.
func (s *Store) checkVersion() {
	reason := ""
	if err := s.m.Meta.Writable(s.o.known); err != nil {
		reason = err.Error()
	}
	if reason != "" && reason != s.readOnly {
		s.o.Log.Error("this program is too old to write the tree; writes are refused", "reason", reason)
	}
	s.readOnly = reason
}

// connected takes note that there are events again. The caller holds the lock.
func (s *Store) connected() {
	s.checkVersion()
	_, address := s.client.Endpoint()
	s.o.Log.Info("the events of etcd are followed", "endpoint", address, "index", s.m.Tree.Index())
	if !s.lost.IsZero() {
		s.lost = time.Time{}
		close(s.back)
	}
}

// resolve gives an event to the write that made it.
func (s *Store) resolve(origin string, e *v2store.Event) {
	s.writes.Lock()
	defer s.writes.Unlock()
	if done := s.waiting[origin]; done != nil {
		done <- e // has room for one
		delete(s.waiting, origin)
	}
}
