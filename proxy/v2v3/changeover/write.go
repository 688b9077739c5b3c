package changeover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrSwitched means that the tree takes writes now.
	ErrSwitched = errors.New("the tree in the v3 store takes writes now")
	// ErrHeld means that a write was held for too long. It was not executed.
	ErrHeld = errors.New("the write was held until its time was over")
	// ErrUnknown means that a write that the v2 API has executed may not be in the tree.
	ErrUnknown = errors.New("the tree may have been copied before the write")
)

// Write is a write at the v2 API.
type Write struct {
	p *Proxy
	// name is that of the session; "" for none. described is the revision of the description of the tree.
	name      string
	described int64
}

// Admit waits until writes are taken, or until a time; a write may be held for [Proxy.MaxHold]. It returns the write if
// the v2 API takes it; then the caller must call [Write.Done]. The error is ErrSwitched, ErrHeld, or that of ctx, which
// ends when the client has left. In each of these cases nothing was executed.
func (p *Proxy) Admit(ctx context.Context, until time.Time) (*Write, error) {
	var late <-chan time.Time
	for {
		if late != nil && ctx.Err() != nil {
			return nil, cmp.Or(context.Cause(ctx), ctx.Err())
		}
		session, _, ok := p.session.Fence()
		p.mu.Lock()
		phase, reason, changed := p.phase, p.reason, p.changed
		if phase == V2 && (ok && session == p.name || !ok && p.alone) {
			p.under++
			w := &Write{p, session, p.described}
			p.mu.Unlock()
			return w, nil
		}
		p.mu.Unlock()
		if phase == V3 {
			return nil, ErrSwitched
		}
		if late == nil {
			timer := time.NewTimer(time.Until(until))
			defer timer.Stop()
			late = timer.C
			p.counts.held.Add(1)
			p.counts.heldTotal.Add(1)
			defer p.counts.held.Add(-1)
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-late:
			p.counts.refused.Add(1)
			return nil, fmt.Errorf("%w: %s", ErrHeld, p.cause(phase, reason))
		case <-p.ctx.Done():
			return nil, fmt.Errorf("%w: the proxy stops", ErrHeld)
		}
	}
}

// cause says why writes are held.
func (p *Proxy) cause(phase Phase, reason string) string {
	switch {
	case phase == Frozen:
		return "the tree is being moved to another API"
	case reason != "":
		return reason
	}
	if failure := p.session.Failure(); failure != "" {
		return "this proxy has no session at etcd: " + failure
	}
	return "this proxy has no session at etcd"
}

// Confirm is called when the v2 API has executed the write. An error means that its outcome is
// unknown.
func (w *Write) Confirm(ctx context.Context) error {
	r, err := w.p.confirm.wait(ctx)
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	case w.name != "" && r.session != w.name:
		err = fmt.Errorf("%w: the session of this proxy has ended meanwhile", ErrUnknown)
	case w.name == "" && r.meta != w.described:
		err = fmt.Errorf("%w: the tree is in another state, and this proxy had no session", ErrUnknown)
	}
	if err != nil {
		w.p.counts.unknown.Add(1)
	}
	return err
}

// Done ends the write, however it ended.
func (w *Write) Done() {
	w.p.mu.Lock()
	w.p.under--
	last := w.p.under == 0 && w.p.phase != V2
	w.p.mu.Unlock()
	if last {
		w.p.update(func() {})
	}
}
