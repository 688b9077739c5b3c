package migration

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/changeover"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// Switch moves the keys of a fleet to the v3 store. Its prefix is that of the tree that proxies will serve.
type Switch struct {
	Rehearsal
	Fleet

	generation string // of the tree that it has made
}

// Steps are those of a switch, in their order. Writes are held from the second one on.
var Steps = []string{"copy", "freeze", "hold", "read", "update", "prove", "compare", "serve"}

// Switched says how a switch went.
type Switched struct {
	*Content
	Nodes int `json:"nodes"`
	// Copied is how long the nodes were copied while clients were served. Held is how long their writes
	// were held at most.
	Copied Seconds `json:"copy_seconds"`
	Held   Seconds `json:"held_seconds"`
	// Changed is the number of nodes that were changed or removed while the others were copied.
	Changed int `json:"changed"`
	// Expired is the number of nodes that expired while writes were held.
	Expired int `json:"expired"`
}

const (
	// undoTimeout bounds the end of a switch that failed. Without it the proxies do that themselves.
	undoTimeout = 5 * time.Second
	// maxExpiries bounds how often nodes may expire while everything is compared.
	maxExpiries = 10
)

// Check returns what the store says about the fleet, and an error unless it can be switched.
func (w *Switch) Check(ctx context.Context) (*changeover.Fleet, error) {
	s, err := open(ctx, &w.Store, layout.Unfinished)
	if err != nil {
		return nil, err
	}
	defer s.client.Close()
	f, err := w.check(ctx, s)
	if err != nil {
		return f, err
	}
	return f, w.belongs(ctx, s)
}

// Run moves the keys. If it fails, the v2 API has them as before, and what was copied is left in the store for the
// next attempt.
func (w *Switch) Run(ctx context.Context) (*Switched, error) {
	s, err := open(ctx, &w.Store, layout.Unfinished)
	if err != nil {
		return nil, err
	}
	defer s.client.Close()
	ctx, release, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { release(w.killed) }()
	m := &move{Switch: w, store: s, result: &Switched{}}
	if err := m.run(ctx); err != nil {
		if m.meta.State == layout.Frozen && !w.killed {
			err = errors.Join(err, m.undo(ctx))
		}
		return nil, err
	}
	return m.result, nil
}

// move is a switch under way.
type move struct {
	*Switch
	store  *store
	meta   layout.Meta // as it was put last
	copied *Content    // what the tree has
	lock   string      // the password of the lock of the v2 API; "" if it is not locked
	frozen time.Time
	result *Switched
}

func (m *move) run(ctx context.Context) error {
	return m.Fleet.run(ctx, Steps, map[string]func(context.Context) error{
		"copy": m.copy, "freeze": m.freeze, "hold": m.hold, "read": m.read, "update": m.update, "prove": m.prove, "compare": m.compare, "serve": m.serve,
	})
}

// lateEvery is how often the v2 store is looked at after a switch.
const lateEvery = 5 * time.Second

// WatchLate watches the v2 store after a switch until ctx ends, and reports each key that somebody writes or removes
// there: nobody reads it any more. It also ends when another command works on the tree, or has: that may write there, and
// let clients do so. One that locks the v2 API does neither. It returns how many there were.
func (w *Switch) WatchLate(ctx context.Context, moved *Content, report func(key string)) (late int) {
	ticker := time.NewTicker(lateEvery)
	defer ticker.Stop()
	for last, failing := moved, false; ; {
		found, err := w.late(ctx, &last)
		if moved, unknown := w.movedOn(ctx); unknown == nil && moved { // perhaps what was found is of that command
			w.Note("another command works on the tree, so that the v2 store is not watched any more")
			return late
		}
		switch {
		case ctx.Err() != nil:
			return late
		case err != nil && !failing:
			w.Note("the v2 store cannot be looked at: " + err.Error())
		}
		failing = err != nil
		for _, key := range found {
			report(key)
		}
		late += len(found)
		select {
		case <-ctx.Done():
			return late
		case <-ticker.C:
		}
	}
}

// late returns the keys that were written or removed in the v2 store since it was read last. Nodes go on
// expiring there.
func (w *Switch) late(ctx context.Context, last **Content) (keys []string, err error) {
	if behind, err := w.Since(ctx, *last); err != nil || behind == 0 {
		return nil, err
	}
	now, err := w.Take(ctx)
	if err != nil {
		return nil, err
	}
	put, gone := changes((*last).records, now.records)
	*last = now
	for _, r := range put {
		keys = append(keys, r.Key)
	}
	return append(keys, unexpired(gone, time.Now())...), nil
}

// movedOn reports whether another command works on the tree that the switch has made, or has moved the keys again.
func (w *Switch) movedOn(ctx context.Context) (bool, error) {
	s, err := open(ctx, &w.Store, layout.Live, layout.Frozen, layout.Unfinished, layout.Rehearsal)
	if err != nil {
		return false, err
	}
	defer s.client.Close()
	if s.found == nil || s.found.Generation != w.generation || s.found.State != layout.Live {
		return true, nil
	}
	t := layout.Txn{Keys: s.keys}
	t.Modified(s.keys.Meta(), s.meta)
	lock := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: s.keys.Lock()}}}
	var found *pb.TxnResponse
	err = s.call(ctx, func(ctx context.Context) (err error) {
		found, err = s.client.Txn(ctx, &pb.TxnRequest{Compare: t.Compare, Success: []*pb.RequestOp{lock}})
		return err
	})
	if err != nil || !found.Succeeded {
		return err == nil, err
	}
	held := found.Responses[0].GetResponseRange().Kvs
	return len(held) > 0 && string(held[0].Value) != guarding, nil
}
