package v2v3

import "etcd-tlsproxy/proxy/v2v3/layout"

// What a store has seen, for tests that ask while it follows etcd.

// described returns the description of the tree.
func (s *Store) described() layout.Meta {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return *s.m.Meta
}

// knows reports whether the store has the description of a revision, or has found that it cannot serve it.
func (s *Store) knows(revision int64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m.MetaRevision >= revision || s.reason != ""
}

// logRevision returns the revision of the last event.
func (s *Store) logRevision() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m.LogRevision
}
