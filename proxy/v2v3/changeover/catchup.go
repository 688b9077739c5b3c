package changeover

import (
	"context"
	"fmt"
)

// CatchUp waits until this proxy knows what the store said about the tree at a moment since the call began: who has
// the keys may have changed some milliseconds before. It reports whether the tree had them then.
func (p *Proxy) CatchUp(ctx context.Context) (tree bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	r, err := p.confirm.wait(ctx)
	if err != nil {
		return false, err
	}
	for {
		p.mu.Lock()
		described, tree, changed := p.described, p.describedTree, p.changed
		p.mu.Unlock()
		if described >= r.meta {
			return tree, nil
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
