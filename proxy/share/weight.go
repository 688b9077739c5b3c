package share

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/upstream"
)

// weight is what the watch of a hub costs etcd: a copy of each event. It is charged to the
// client whose watch created the hub. Only the goroutine of the hub uses the claim.
type weight struct {
	claim bulk.Claim
	payer *account.Account // nil if nothing is charged
	units atomic.Int64     // what the claim holds
}

// errOverShare means that others need what the hub costs etcd.
var errOverShare = errors.New("the client watches too many keys with large values")

// weightPatience is how long a watch waits until the pool has taken back what others have
// above their share.
const weightPatience = 2 * time.Second

// charge charges the weight to the account of a claim, whose watch the hub may outlast.
func (w *weight) charge(claim *bulk.Claim) {
	if claim.Account() != nil {
		w.payer = claim.Account().Reopen()
		w.claim = claim.For(w.payer)
	}
}

// isSurplus charges the watch for a large event from the start; Watches.mu is held.
func (h *hub) isSurplus() {
	h.surplus = true
	h.weight.claim.Surplus()
}

// acquireWeight acquires what the watch is expected to cost.
func (h *hub) acquireWeight(ctx context.Context) error {
	if !h.weight.claim.TryAcquire() {
		ctx, cancel := context.WithTimeout(ctx, h.watches.weightPatience)
		defer cancel()
		if h.weight.claim.Acquire(ctx) != nil {
			return &upstream.Error{Kind: upstream.Busy, Err: errOverShare}
		}
	}
	h.updateWeight()
	return nil
}

// weighEvent adapts the weight to an event. The error means that the hub must end, because
// there is not enough for events of this size.
func (h *hub) weighEvent(size int) error {
	enough := h.weight.claim.Event(int64(size))
	h.updateWeight()
	if !enough {
		return errOverShare
	}
	return nil
}

// updateWeight registers the hub while its watch costs something.
func (h *hub) updateWeight() {
	before, now := h.weight.units.Load(), h.weight.claim.Held()
	h.weight.units.Store(now)
	switch {
	case before == 0 && now > 0:
		h.weight.claim.Pool().Register(h.weight.payer, h)
	case before > 0 && now == 0:
		h.weight.claim.Pool().Unregister(h.weight.payer, h)
	}
}

// releaseWeight releases what is held when the hub's goroutine ends.
func (h *hub) releaseWeight() {
	if h.weight.payer == nil {
		return
	}
	h.weight.claim.Release()
	h.weight.claim.Pool().Unregister(h.weight.payer, h)
	h.weight.payer.Close()
}

// Class implements [account.Holder].
func (h *hub) Class() account.Class { return account.Watching }

// Revoke implements [account.Holder]. It ends the hub.
func (h *hub) Revoke(account.Class) int64 {
	units := h.weight.units.Swap(0)
	if units > 0 {
		go h.stop(errOverShare) // it notifies the watchers
	}
	return units
}
