package changeover

import (
	"context"
	"fmt"
)

// CatchUp waits until this proxy knows what the store said about the tree at a moment since the call began: who has
// the keys may have changed some milliseconds before.
func (p *Proxy) CatchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	r, err := p.confirm.wait(ctx)
	if err != nil {
		return err
	}
	for {
		p.mu.Lock()
		described, changed := p.described, p.changed
		p.mu.Unlock()
		if described >= r.meta {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the description of the tree at the revision %d: %w", r.meta, context.Cause(ctx))
		case <-p.ctx.Done():
			return errClosed
		}
	}
}
