package lane

import (
	"context"
	"errors"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2v3/changeover"
)

// apartPause is how long an operation waits that found the snapshot, the changeover and the store apart.
const apartPause = 5 * time.Millisecond

// changing reports whether an operation depends on who takes writes: the v2 API of etcd, or the tree
// in its v3 store.
func (s *Snapshot) changing(op *gate.Operation) bool {
	return s.Changeover != nil && op.Surface == gate.Keys
}

// whileChanging is Do for an operation that depends on who takes writes. A write waits while nobody does.
// The decision about it stands, as that about any request that is under way during a reload.
//
// The snapshot, the changeover and the store learn of a new description of the tree one after the other. An
// operation that finds them apart is tried again. All its waits end together, and with the client: who has left does
// not expect that a write is executed.
func (x *Exchange) whileChanging(ctx context.Context, call *Call, buffer func() []byte) (Answer, *gate.Refusal, error) {
	h := held{c: call.Snapshot.Changeover, present: call.Present}
	if h.present == nil {
		h.present = ctx
	}
	h.until = time.Now().Add(h.c.MaxHold())
	return x.whileHeld(ctx, &h, call, buffer)
}

// held says how an operation waits.
type held struct {
	c       *changeover.Proxy
	present context.Context // ends with the client
	until   time.Time
}

// whileHeld tries an operation until nothing is apart.
func (x *Exchange) whileHeld(ctx context.Context, h *held, call *Call, buffer func() []byte) (Answer, *gate.Refusal, error) {
	for {
		a, refusal, apart, err := x.onceChanging(ctx, h, call, buffer)
		switch {
		case !apart:
			if call.Op.IsWrite() && refusal == nil && err == nil {
				x.Held.Succeeded()
			}
			return a, refusal, err
		case !time.Now().Before(h.until):
			x.Held.Failed("reason", "the tree and its description do not say the same")
			return Answer{}, gate.RefuseHeld, nil
		}
		select {
		case <-time.After(apartPause):
		case <-h.present.Done():
		case <-ctx.Done():
		}
		if h.present.Err() != nil || ctx.Err() != nil {
			return Answer{}, nil, ErrBrokenOff
		}
		call.Snapshot = x.Current.Load()
	}
}

// onceChanging tries an operation. It was not executed if apart is set: the tree and its description do not say
// the same yet.
func (x *Exchange) onceChanging(ctx context.Context, h *held, call *Call, buffer func() []byte) (a Answer, refusal *gate.Refusal, apart bool, err error) {
	if !call.Op.IsWrite() {
		return x.readChanging(ctx, h.c, call, buffer)
	}
	write, err := h.c.Admit(h.present, h.until)
	switch {
	case err == nil:
		a, refusal, err = x.writeToEtcd(ctx, call, buffer, write)
		return a, refusal, false, err
	case errors.Is(err, changeover.ErrHeld):
		x.Held.Failed("reason", err)
		return Answer{}, gate.RefuseHeld, false, nil
	case !errors.Is(err, changeover.ErrSwitched):
		return Answer{}, nil, false, ErrBrokenOff
	}
	return x.fromTree(ctx, call, buffer)
}

// readChanging reads. An answer from the API that had the keys before is as good as an old one, but a read with a
// quorum must not get it: the client may know already what was written to the other.
func (x *Exchange) readChanging(ctx context.Context, c *changeover.Proxy, call *Call, buffer func() []byte) (a Answer, refusal *gate.Refusal, apart bool, err error) {
	switch {
	case call.Snapshot.Origin != nil: // which finds out itself whether it still has the keys
		return x.fromTree(ctx, call, buffer)
	case !c.Known():
		return Answer{}, x.unknownOrigin(c), false, nil
	case call.Op.Proposal:
		tree, err := c.CatchUp(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return Answer{}, nil, false, ErrBrokenOff
			}
			x.Observer.Metrics.UpstreamFailed(upstream.Unreachable)
			x.Outage.Failed("kind", upstream.Unreachable.String(), "error", err)
			return Answer{}, gate.RefuseStore, false, nil
		}
		if tree {
			return x.fromTree(ctx, call, buffer)
		}
	}
	a, refusal, err = x.fromEtcd(ctx, call, buffer)
	return a, refusal, false, err
}

// fromTree has the tree answer, since it has the keys.
func (x *Exchange) fromTree(ctx context.Context, call *Call, buffer func() []byte) (a Answer, refusal *gate.Refusal, apart bool, err error) {
	if call.Snapshot.Origin == nil {
		call.Snapshot = x.Current.Load()
	}
	if call.Snapshot.Origin == nil { // it could not be opened, which was logged
		return Answer{}, gate.RefuseStore, false, nil
	}
	a, refusal, err = x.fromStore(ctx, call, buffer)
	return a, refusal, refusal == gate.RefuseHeld, err
}

// writeToEtcd sends a write to the v2 API, and makes sure that it counts.
func (x *Exchange) writeToEtcd(ctx context.Context, call *Call, buffer func() []byte, write *changeover.Write) (Answer, *gate.Refusal, error) {
	defer write.Done()
	if call.Snapshot.Origin != nil { // the keys went back to the v2 API while the write was held
		call.Snapshot = x.Current.Load()
	}
	a, refusal, err := x.fromEtcd(ctx, call, buffer)
	if refusal != nil || err != nil {
		return a, refusal, err
	}
	if err := write.Confirm(ctx); err != nil {
		a.Close()
		if ctx.Err() != nil {
			return Answer{}, nil, ErrBrokenOff
		}
		x.Observer.Metrics.UpstreamFailed(upstream.UnknownOutcome)
		x.Log.Warn("a write was executed, and is perhaps not in the tree", "reason", err)
		return Answer{}, gate.RefuseUnknownOutcome, nil
	}
	return a, nil, nil
}

// unknownOrigin refuses a read that could be answered by an API that nobody writes any more.
func (x *Exchange) unknownOrigin(c *changeover.Proxy) *gate.Refusal {
	_, reason := c.Phase()
	x.Observer.Metrics.UpstreamFailed(upstream.Unreachable)
	x.Outage.Failed("kind", upstream.Unreachable.String(), "error", reason)
	return gate.RefuseStore
}
