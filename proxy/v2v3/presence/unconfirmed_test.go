package presence

import (
	"context"
	"testing"
)

// TestAFenceIsNotReadBeforeItIsConfirmed looks at a fence whose result is being written, when the time is
// over. A write behind it could still be executed.
func TestAFenceIsNotReadBeforeItIsConfirmed(t *testing.T) {
	n := NewSession(Host{Context: t.Context()})
	n.fences["session"] = &fencing{done: make(chan struct{}), gone: true}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if revision, err := n.FenceOff(ctx, "session", 7); err == nil {
		t.Errorf("got a fence at the revision %d, want an error", revision)
	}
}
