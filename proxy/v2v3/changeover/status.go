package changeover

import (
	"sync/atomic"
	"time"
)

// Status is the place of this proxy in a changeover.
type Status struct {
	// Phase says who takes writes: "unknown", "v2", "frozen" or "v3".
	Phase string
	// Since is when the phase began, by the clock of this proxy.
	Since time.Time
	// Reason says why the phase is unknown.
	Reason string
	// Tree is set if reads are answered from the tree.
	Tree bool
	// Held is the number of writes that wait now, and HeldTotal that of all that have waited. Refused
	// counts those of them that waited for too long.
	Held, HeldTotal, Refused int64
	// Unknown counts writes that the v2 API has executed, and that are perhaps not in the tree.
	Unknown int64
}

// counts are those of the status.
type counts struct{ held, heldTotal, refused, unknown atomic.Int64 }

// Status returns the place of this proxy in a changeover.
func (p *Proxy) Status() Status {
	p.mu.Lock()
	s := Status{Phase: p.phase.String(), Since: p.since, Reason: p.reason, Tree: p.Tree()}
	p.mu.Unlock()
	c := &p.counts
	s.Held, s.HeldTotal, s.Refused, s.Unknown = c.held.Load(), c.heldTotal.Load(), c.refused.Load(), c.unknown.Load()
	return s
}
