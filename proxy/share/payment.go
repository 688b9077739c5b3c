package share

import (
	"context"
	"errors"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/upstream"
)

// payment is what the request of a batch needs at etcd. It is charged to the reader that has and
// wants the least: otherwise a client could join before others, and make them wait for its own
// turn. As long as the request waits for its turn, readers can still join it, and one that comes
// first pays.
type payment struct {
	claim bulk.Claim
	payer *account.Account // of the claim; nil if nothing is claimed

	// The shard's lock guards these.
	better  bulk.Claim         // of a reader that should pay instead
	waiting context.CancelFunc // ends the wait; nil if there is none
}

// offer offers the claim of a reader; the shard's lock is held.
func (p *payment) offer(claim *bulk.Claim) {
	if claim.IsFree() {
		return
	}
	best := p.payer
	if p.better.Account() != nil {
		best = p.better.Account()
	}
	if best != nil {
		theirs := claim.For(best)
		if best == claim.Account() || claim.Wanted() >= theirs.Wanted() {
			return
		}
	}
	next := claim.For(claim.Account().Reopen()) // the batch may outlast the reader
	if p.waiting == nil {
		p.setPayer(next)
		return
	}
	if p.better.Account() != nil {
		p.better.Account().Close()
	}
	p.better = next
	p.waiting()
}

// setPayer replaces the payer; the shard's lock is held.
func (p *payment) setPayer(claim bulk.Claim) {
	if p.payer != nil {
		p.payer.Close()
	}
	p.claim, p.payer, p.better = claim, claim.Account(), bulk.Claim{}
}

// interrupt ends a wait if there is one; the shard's lock is held.
func (p *payment) interrupt() {
	if p.waiting != nil {
		p.waiting()
	}
}

// begin begins a wait for the best payer, which cancel ends; the shard's lock is held.
func (p *payment) begin(cancel context.CancelFunc) {
	if p.better.Account() != nil {
		p.setPayer(p.better)
	}
	p.waiting = cancel
}

// close ends the use of the accounts.
func (p *payment) close() {
	if p.better.Account() != nil {
		p.better.Account().Close()
	}
	if p.payer != nil {
		p.payer.Close()
	}
}

// pay acquires what the request of a batch needs, and then admits no more readers to it. The
// error is that for the readers, of which there may be none left.
func (t *Lead) pay(b *batch) (context.Context, error) {
	patient, end := context.WithTimeout(context.Background(), t.reads.pool.Patience())
	defer end()
	for {
		turn, cancel := context.WithCancel(patient)
		t.shard.mu.Lock()
		b.begin(cancel)
		if b.readers == 0 {
			defer t.shard.mu.Unlock()
			cancel()
			return t.closeBatch(), context.Canceled
		}
		t.shard.mu.Unlock()
		err := t.reads.acquire(turn, &b.claim)
		again := err != nil && turn.Err() != nil && patient.Err() == nil // another reader pays, or all have left
		cancel()
		if again {
			continue
		}
		if err != nil && !errors.Is(err, errTooLarge) {
			err = &upstream.Error{Kind: upstream.Busy, Err: err}
		}
		t.shard.mu.Lock()
		defer t.shard.mu.Unlock()
		return t.closeBatch(), err
	}
}
