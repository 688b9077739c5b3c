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
	// past is for the request of a hub with an index. extra is set if there are too many other
	// watches that the same events concern.
	past  bulk.Claim
	extra bool
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

const (
	// PastPatience is how long a hub with an index waits for an event that etcd may have
	// already. etcd sends such an event at once, behind the head.
	PastPatience = 50 * time.Millisecond
	// LongPatience is the same for an event of a megabyte and more. etcd needs some time to
	// encode several of them.
	LongPatience = 500 * time.Millisecond
)

// errNoTurn means that others had their turn all the time.
var errNoTurn = errors.New("too many large events are asked for at the same time")

// acquirePast waits for the turn of the client that pays for a hub with an index. Its event may
// exist already, and etcd encodes that for each request. So these have their turns if the events of
// the key are known to be large, or if many watches wait for the same events, of which nothing is
// known.
func (h *hub) acquirePast(ctx context.Context) error {
	if h.weight.payer == nil {
		return nil
	}
	past := h.weight.claim.Past(h.path, h.recursive)
	if !h.weight.extra && !past.IsLong() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.watches.pool.Patience())
	defer cancel()
	if past.Acquire(ctx) != nil {
		return &upstream.Error{Kind: upstream.Busy, Err: errNoTurn}
	}
	h.weight.past = past
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
