package v2v3

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

const (
	// maxSweep is how many nodes expire before the keeper looks at its clock again.
	maxSweep = 200
	// maxSweepTime bounds the same. Each node takes a proposal, which takes long while others write a lot.
	maxSweepTime = 250 * time.Millisecond
	// minTogether and maxTogether are how many nodes expire side by side if more are due than a sweep can
	// expire. Otherwise whoever writes many nodes that live for a second would delay the expiration
	// of all others for as long as he goes on, locks among them.
	minTogether, maxTogether = 16, 1024
	// maxExpire bounds one expiration. The next sweep tries again.
	maxExpire = 5 * time.Second
	// refusedPeriod is how often a directory that cannot expire is logged.
	refusedPeriod = 10 * time.Minute
)

// keeping is the tree as the keeper sees it.
type keeping struct{ s *Store }

// Keeper implements [presence.Tree].
func (k keeping) Keeper() (keeper *mvccpb.KeyValue, others []string, ok bool) {
	s := k.s
	own, _, _ := s.session.Fence()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.m == nil || s.reason != "" || !s.lost.IsZero() {
		return nil, nil, false
	}
	for key := range s.m.Control {
		if kind, name := s.keys.Parse([]byte(key)); kind == layout.Session && name != own {
			others = append(others, name)
		}
	}
	return s.m.Control[string(s.keys.Keeper())], others, true
}

// Writes implements [presence.Tree].
func (k keeping) Writes() bool {
	k.s.mu.RLock()
	defer k.s.mu.RUnlock()
	return k.s.readOnly == ""
}

// Expire implements [presence.Tree].
func (k keeping) Expire(ctx context.Context, keeper int64, now time.Time) (more bool) {
	s := k.s
	began := time.Now()
	for expired := 0; expired < maxSweep && time.Since(began) < maxSweepTime; {
		list, err := s.planExpires(keeper, now, max(1, s.together))
		if err != nil || len(list) == 0 || !s.expireAll(ctx, list) {
			s.together = nextTogether(s.together, false)
			return false
		}
		expired += len(list)
	}
	s.together = nextTogether(s.together, true)
	return true
}

// nextTogether returns how many nodes expire side by side in the next sweep, if so many did in this one. More
// says that others are due.
func nextTogether(n int, more bool) int {
	if more {
		return min(max(2*n, minTogether), maxTogether)
	}
	return n / 2
}

// expireAll expires nodes side by side. It reports whether the next ones can expire now.
func (s *Store) expireAll(ctx context.Context, list []*proposal) bool {
	var running sync.WaitGroup
	var failed atomic.Bool
	for _, p := range list {
		running.Go(func() {
			if err := s.expire(ctx, p); err != nil && !errors.Is(err, errConflict) {
				// The keeper has changed, or etcd is away. The node is still due at the next sweep.
				s.o.Log.Debug("a node did not expire", "key", p.change.Key, "error", err)
				failed.Store(true)
			}
		})
	}
	running.Wait()
	return !failed.Load()
}

func (s *Store) expire(ctx context.Context, p *proposal) error {
	ctx, cancel := context.WithTimeout(ctx, min(maxExpire, s.o.Timeout))
	defer cancel()
	_, err := s.commit(ctx, p)
	if err == nil {
		s.expired.Add(1)
	}
	return err
}

// planExpires plans the expirations of the first nodes that are due, at most so many. They fail if the
// key of the keeper was put at another revision. A directory with too many nodes, or with values of v3
// clients, below it stays.
func (s *Store) planExpires(keeper int64, now time.Time, most int) (list []*proposal, err error) {
	session, revision, ok := s.session.Fence()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.writable(); err != nil {
		return nil, err
	}
	if !ok {
		return nil, errNoSession
	}
	changes := v2store.PlanExpires(s.m.Tree, now, most, func(c *v2store.Change) bool {
		reason := ""
		switch {
		case c.Removes(s.m.Tree) > s.o.removable():
			reason = "it has too many keys"
		case s.m.Protects(c):
			reason = "a client of v3 has keys below it"
		default:
			return false
		}
		if time.Since(s.unexpired) > refusedPeriod {
			s.unexpired = time.Now()
			s.o.Log.Error("a directory does not expire", "key", c.Key, "reason", reason)
		}
		return true
	})
	for _, c := range changes {
		p, failure, err := s.proposal(nil, c, session, revision, 0)
		if err == nil && failure != nil {
			err = failure
		}
		if err != nil {
			return nil, err
		}
		p.keeper = keeper
		p.txn.Modified(s.keys.Keeper(), keeper)
		list = append(list, p)
	}
	return list, nil
}

// observe takes note of what a revision says about other proxies: their clocks, and a new keeper,
// which wants to know the time of the others.
func (s *Store) observe(r *layout.Revision) {
	own, _, _ := s.session.Fence()
	if r.Entry != nil {
		if i := strings.LastIndexByte(r.Entry.Origin, '.'); i > 0 && r.Entry.Origin[:i] != own {
			s.keeper.Observe(r.Entry.Origin[:i], r.Entry.Time, r.Number)
		}
	}
	for _, e := range r.Other {
		kind, name := s.keys.Parse(e.Kv.Key)
		if e.Type != mvccpb.PUT || kind != layout.Session && kind != layout.Keeper {
			continue
		}
		value, err := layout.DecodePresence(e.Kv.Value)
		switch {
		case err != nil:
			s.o.Log.Warn("a session cannot be read", "key", string(e.Kv.Key), "error", err)
		case kind == layout.Session && name != own:
			s.keeper.Observe(name, value.Time, r.Number)
		case kind == layout.Keeper && value.Session != own:
			s.session.Ask()
		}
	}
}
