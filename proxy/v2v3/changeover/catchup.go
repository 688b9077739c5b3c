package changeover

import (
	"context"
	"errors"
	"fmt"
)

// CatchUp waits until this proxy knows what the store said about the tree at a moment since the call began: who has
// the keys may have changed some milliseconds before. It reports whether the tree had them then. An error may mean
// that the store says nothing that can be relied on.
func (p *Proxy) CatchUp(ctx context.Context) (tree bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	r, err := p.confirm.wait(ctx)
	if err != nil {
		return false, err
	}
	for {
		p.mu.Lock()
		described, tree, phase, reason, changed := p.described, p.describedTree, p.phase, p.reason, p.changed
		p.mu.Unlock()
		switch {
		case described < r.meta:
		case phase != Unknown:
			return tree, nil
		case !p.known.Load():
			return false, errors.New("it is not known who has the keys: " + reason)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, fmt.Errorf("waiting for the description of the tree at the revision %d: %w", r.meta, context.Cause(ctx))
		case <-p.ctx.Done():
			return false, errClosed
		}
	}
}
