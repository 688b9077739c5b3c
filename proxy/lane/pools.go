package lane

import (
	"context"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
)

// Pools are what operations at etcd are charged to. A nil pool has no bound.
type Pools struct {
	// Slots bounds the requests at etcd. A request has a slot while etcd works for it, and
	// not while its client takes the answer.
	Slots *account.Pool
	// Proposals bounds those of them that etcd answers only when its members have agreed. While
	// there is no leader they last until etcd gives them up, and plain reads must go on.
	Proposals *account.Pool
	// Bulk bounds the large answers that etcd is asked for, and those that it sends at the
	// pace of their clients.
	Bulk *bulk.Limits
	// Memory is the memory of the answers that wait for their clients, in units of
	// [account.LeaseUnit].
	Memory *account.Pool
}

// UncountedAnswer is the part of each answer, in bytes, that is not charged to Pools.Memory. The
// slots bound it while etcd answers, and whoever keeps it for longer must charge for it.
const UncountedAnswer = upstream.Uncounted

// newClaim returns what a call claims of etcd's memory, which is not acquired.
func (x *Exchange) newClaim(call *Call) bulk.Claim {
	switch op := call.Op; {
	case op.Surface != gate.Keys:
	case op.IsWrite():
		claim := x.Bulk.Write(call.account, op.Path, call.Body)
		if claim.Size() > upstream.MaxBuffered {
			claim.Stream() // when it was carried out, it is too late to wait for the rest
		}
		return claim
	case op.Access == acl.Read:
		return x.Bulk.Read(call.account, op.Path, op.Tree)
	}
	return x.Bulk.Other(call.account)
}

// acquire acquires what an answer claims, and then the slot, each if it is not held. It waits
// for its turn. If it fails, the answer holds nothing.
func (a *Answer) acquire(ctx context.Context, call *Call) error {
	err := call.wait(ctx, func(ctx context.Context) error {
		if err := a.claim.Acquire(ctx); err != nil || a.slot.held {
			return err
		}
		return a.slot.acquire(ctx)
	})
	if err != nil {
		a.Close()
	}
	return err
}

// wait calls acquire with a context that ends when the call has waited for its turn as long as
// for an answer of etcd.
func (c *Call) wait(ctx context.Context, acquire func(context.Context) error) error {
	start := time.Now() // this path is rare: usually a unit is free
	defer func() { c.Turn += time.Since(start) }()
	ctx, cancel := context.WithTimeout(ctx, c.Snapshot.Upstream.Patience())
	defer cancel()
	if c.Client != nil {
		c.Client.Queued(cancel)
		defer c.Client.Queued(nil)
	}
	return acquire(ctx)
}

// acquireWithin acquires one unit of a pool, and waits for its turn no longer than patience.
// Meanwhile the pool takes back what clients above their share hold.
func acquireWithin(ctx context.Context, patience time.Duration, p *account.Pool, a *account.Account, k account.Kind) error {
	if p == nil || p.TryAcquire(a, 1, k) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.Acquire(ctx, a, 1, k)
}

// slot is a unit of Pools.Slots and, for a proposal, one of Pools.Proposals. The zero slot is none.
type slot struct {
	pool      *account.Pool
	proposals *account.Pool // nil unless the call is a proposal
	account   *account.Account
	kind      account.Kind
	held      bool
}

// newSlot returns a slot for a call, which is not acquired.
func (x *Exchange) newSlot(call *Call) slot {
	s := slot{pool: x.Slots, account: call.account, kind: kindOf(call.Op)}
	if call.Op.IsWrite() || call.Op.Proposal {
		s.proposals = x.Proposals
	}
	return s
}

// try acquires the slot if that needs no wait.
func (s *slot) try() bool {
	if s.pool == nil {
		return true
	}
	if s.proposals != nil && !s.proposals.TryAcquire(s.account, 1, s.kind) {
		return false
	}
	if s.held = s.pool.TryAcquire(s.account, 1, s.kind); !s.held {
		s.releaseProposal()
	}
	return s.held
}

// acquire acquires the slot, and waits for its turn.
func (s *slot) acquire(ctx context.Context) error {
	if s.pool == nil {
		return nil
	}
	if s.proposals != nil {
		if err := s.proposals.Acquire(ctx, s.account, 1, s.kind); err != nil {
			return err
		}
	}
	err := s.pool.Acquire(ctx, s.account, 1, s.kind)
	if s.held = err == nil; !s.held {
		s.releaseProposal()
	}
	return err
}

// release releases the slot if it is held.
func (s *slot) release() {
	if s.held {
		s.held = false
		s.pool.Release(s.account, 1, s.kind)
		s.releaseProposal()
	}
}

func (s *slot) releaseProposal() {
	if s.proposals != nil {
		s.proposals.Release(s.account, 1, s.kind)
	}
}

// kindOf returns what the units for an operation are acquired for.
func kindOf(op *gate.Operation) account.Kind {
	if op.IsWrite() {
		return account.Write
	}
	return account.Ordinary
}
