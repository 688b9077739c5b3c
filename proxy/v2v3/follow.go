package v2v3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"etcd-tlsproxy/proxy/v2v3/mirror"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// follow keeps a mirror for as long as the store is open: it connects to one endpoint after the
// other, and follows the events there until that fails.
func (s *Store) follow() {
	wait := time.Duration(0)
	for try := 0; s.ctx.Err() == nil; try++ {
		c := &connection{s: s}
		err := c.run(s.ctx)
		if s.ctx.Err() != nil {
			return
		}
		s.disconnected(err, c.followed)
		next, place := s.nextEndpoint(err)
		grace := time.Duration(0)
		if errors.Is(err, errPreferred) {
			grace = s.o.Timeout
		}
		if c.followed {
			try = 0
		}
		wait = s.pauseAfter(err, c.followed, try, wait)
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(wait):
		}
		if err := s.client.UseWithin(next, grace); err != nil {
			s.o.Log.Error("an endpoint of etcd cannot be used", "endpoint", place, "error", err)
		}
	}
}

// oversizePause is how long etcd has peace from a proxy that has no room for its tree.
const oversizePause = 30 * time.Second

// pauseAfter returns how long to wait after a connection that failed, before the next one. It grows when no
// endpoint has worked.
func (s *Store) pauseAfter(err error, followed bool, try int, last time.Duration) time.Duration {
	switch {
	case followed:
		return 0
	case errors.Is(err, errOversize):
		return oversizePause
	case try%s.client.Endpoints() == s.client.Endpoints()-1:
		return min(max(2*last, 50*time.Millisecond), time.Second)
	}
	return min(last, time.Second)
}

// nextEndpoint returns the endpoint to use after an error.
func (s *Store) nextEndpoint(err error) (next int, address string) {
	at, address := s.client.Endpoint()
	if errors.Is(err, errPreferred) {
		return 0, address
	}
	if errors.Is(err, errBehind) {
		if _, showed := s.seen.newest(); showed != at {
			return showed, address
		}
	}
	if errors.Is(err, errRebuild) || errors.Is(err, errNoTree) || errors.Is(err, errUnserved) || errors.Is(err, errOversize) || rpc.Compacted(err) || rpc.TooLarge(err) {
		return at, address // which is not to blame
	}
	return (at + 1) % s.client.Endpoints(), address
}

// disconnected takes note that there are no events any more.
func (s *Store) disconnected(err error, followed bool) {
	_, address := s.client.Endpoint()
	s.mu.Lock()
	first := s.lost.IsZero()
	if first {
		s.lost, s.back = time.Now(), make(chan struct{})
	}
	if s.m == nil {
		s.reason = err.Error()
	}
	s.mu.Unlock()
	advises := errors.Is(err, errNoTree) || errors.Is(err, errUnserved) || errors.Is(err, errOversize) // it names what helps
	first = first || advises && !s.advised
	s.advised = advises
	switch {
	case errors.Is(err, errPreferred):
		s.o.Log.Info("the preferred endpoint of etcd is used again", "endpoint left", address)
	case first || followed:
		s.o.Log.Warn("the events of etcd are not followed any more", "endpoint", address, "error", err)
	default:
		s.o.Log.Debug("the events of etcd are still not followed", "endpoint", address, "error", err)
	}
}

// abandon makes the mirror unusable, because the store has another past, or because the mirror
// is wrong. Its watches may have missed events.
func (s *Store) abandon(reason string) {
	s.mu.Lock()
	s.reason = "the tree is being loaded again: " + reason
	s.mu.Unlock()
	s.o.Log.Error("the tree in memory is given up and loaded again", "reason", reason)
	s.breakOff("events may have been missed: " + reason)
}

// errRebuild means that the mirror has to be loaded again.
var errRebuild = errors.New("the tree has to be loaded again")

// errPreferred means that the preferred endpoint can be used again.
var errPreferred = errors.New("the preferred endpoint of etcd is back")

const (
	// preferEvery is how often the preferred endpoint is probed while another one is in use, and
	// preferAfter how many probes in a row must succeed.
	preferEvery = 5 * time.Second
	preferAfter = 3
)

// prefer ends the connection when the preferred endpoint, which is the first, can be used again.
func (c *connection) prefer(ctx context.Context, end context.CancelCauseFunc) {
	ticker := time.NewTicker(cmp.Or(c.s.o.preferEvery, preferEvery))
	defer ticker.Stop()
	for good := 0; good < preferAfter; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		probe, cancel := context.WithTimeout(ctx, readTimeout)
		if err := c.s.client.Probe(probe, 0, c.s.keys.Log(), c.m.Cluster); err != nil {
			good = 0
		} else {
			good++
		}
		cancel()
	}
	end(errPreferred)
}

// errBehind means that the stream of events is behind what another response has shown.
var errBehind = errors.New("the events of etcd are behind what etcd has answered")

// adopt decides how the mirror goes on with a store in a state. It returns the mirror, perhaps a
// new one, and the revision after which its events begin.
func (s *Store) adopt(ctx context.Context, st *state) (m *mirror.Mirror, after int64, err error) {
	s.mu.RLock()
	m, good := s.m, s.reason == ""
	s.mu.RUnlock()
	if m != nil && good {
		after, ok, err := s.continues(ctx, m, st)
		if err != nil {
			return nil, 0, err
		}
		if ok {
			return m, after, nil
		}
		s.abandon("the store has another past than the tree in memory, or has forgotten the revisions that follow it")
	}
	s.seen.forget()
	revision := st.revision
	if s.withPast() {
		if revision, err = s.pastRevision(ctx, st, maxPast); err != nil && !rpc.Compacted(err) {
			return nil, 0, err
		} else if err != nil {
			revision = st.revision
		}
		if s.pastFrom <= st.revision { // otherwise it was of another past
			revision = max(revision, s.pastFrom)
		}
	}
	if m, err = s.load(ctx, st, revision); err != nil {
		if errors.Is(err, errOversize) {
			s.pastFailed() // the tree may have been larger in the past
		}
		if rpc.Compacted(err) {
			s.pastFailed()
			err = fmt.Errorf("%w: %w", errRebuild, err)
		}
		return nil, 0, err
	}
	return m, revision, nil
}

// maxPastFailures is how often a mirror is loaded with its history before it is loaded without.
const maxPastFailures = 2

// withPast reports whether to load an old tree and to apply its events again.
func (s *Store) withPast() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.pastFailures < maxPastFailures
}

// pastFailed takes note that a mirror with its history could not be loaded.
func (s *Store) pastFailed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pastFailures++
}
