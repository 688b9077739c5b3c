package lane

import (
	"context"
	"errors"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2v3/changeover"
)

// changing reports whether an operation depends on who takes writes: the v2 API of etcd, or the tree
// in its v3 store.
func (s *Snapshot) changing(op *gate.Operation) bool {
	return s.Changeover != nil && op.Surface == gate.Keys && (s.Origin == nil || op.IsWrite())
}

// whileChanging is Do for an operation that depends on who takes writes. A write waits while nobody does.
// The decision about it stands, as that about any request that is under way during a reload.
func (x *Exchange) whileChanging(ctx context.Context, call *Call, buffer func() []byte) (Answer, *gate.Refusal, error) {
	c := call.Snapshot.Changeover
	if !call.Op.IsWrite() {
		if !c.Known() {
			return Answer{}, x.unknownOrigin(c), nil
		}
		return x.fromEtcd(ctx, call, buffer)
	}
	present := call.Present
	if present == nil {
		present = ctx
	}
	for {
		write, err := c.Admit(present)
		switch {
		case err == nil:
			return x.writeToEtcd(ctx, call, buffer, write)
		case errors.Is(err, changeover.ErrHeld):
			x.Log.Warn("a write was held for too long and refused", "reason", err)
			return Answer{}, gate.RefuseHeld, nil
		case !errors.Is(err, changeover.ErrSwitched):
			return Answer{}, nil, ErrBrokenOff
		}
		if call.Snapshot.Origin == nil {
			call.Snapshot = x.Current.Load()
		}
		if call.Snapshot.Origin == nil { // it could not be opened, which was logged
			return Answer{}, gate.RefuseStore, nil
		}
		a, refusal, err := x.fromStore(ctx, call, buffer)
		if refusal != gate.RefuseStore || !c.Frozen() {
			return a, refusal, err
		}
	}
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
