package v2v3

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

const (
	// maxSweep is how many nodes expire before the keeper looks at its clock again.
	maxSweep = 200
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

// Expire implements [presence.Tree].
func (k keeping) Expire(ctx context.Context, keeper int64, now time.Time) (more bool) {
	for range maxSweep {
		p, err := k.s.planExpire(keeper, now)
		if err != nil || p == nil {
			return false
		}
		if err := k.s.expire(ctx, p); err != nil && !errors.Is(err, errConflict) {
			// The keeper has changed, or etcd is away. The node is still due at the next sweep.
			k.s.o.Log.Debug("a node did not expire", "key", p.change.Key, "error", err)
			return false
		}
	}
	return true
}

func (s *Store) expire(ctx context.Context, p *proposal) error {
	ctx, cancel := context.WithTimeout(ctx, min(maxExpire, s.o.Timeout))
	defer cancel()
	_, err := s.commit(ctx, p)
	return err
}

// planExpire plans the expiration of the first node that is due, if there is one. It fails if the
// key of the keeper was put at another revision. A directory with too many nodes, or with values of v3
// clients, below it stays.
func (s *Store) planExpire(keeper int64, now time.Time) (*proposal, error) {
	session, revision, ok := s.session.Fence()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.writable(); err != nil {
		return nil, err
	}
	if !ok {
		return nil, errNoSession
	}
	c := v2store.PlanExpire(s.m.Tree, now, func(c *v2store.Change) bool {
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
	if c == nil {
		return nil, nil
	}
	p, _, err := s.proposal(nil, c, session, revision, 0)
	if err == nil {
		p.keeper = keeper
		p.txn.Modified(s.keys.Keeper(), keeper)
	}
	return p, err
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
