package lane

import (
	"context"
	"errors"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2v3"
)

// failed is what Do returns if etcd did not answer.
func (x *Exchange) failed(err error, op *gate.Operation) (*gate.Refusal, error) {
	if refusal := x.failure(err, op); refusal != nil {
		return refusal, nil
	}
	return nil, ErrBrokenOff
}

// failure counts and logs that etcd did not answer, and returns the refusal for the
// client. It returns nil if the client itself ended the request.
func (x *Exchange) failure(err error, op *gate.Operation) *gate.Refusal {
	var failure *upstream.Error
	if !errors.As(err, &failure) {
		panic("BUG: the pool failed with an error of no kind: " + err.Error())
	}
	refusal := failureRefusals[failure.Kind]
	if refusal == nil {
		return nil
	}
	if op.IsWrite() && failure.Kind == upstream.Broken {
		refusal = gate.RefuseUnknownOutcome // a malformed answer is as useless as none
	}
	if !op.IsWrite() && failure.Kind == upstream.Timeout {
		refusal = gate.RefuseReadTimeout
	}
	x.Observer.Metrics.UpstreamFailed(failure.Kind)
	x.Outage.Failed("kind", failure.Kind.String(), "endpoint", failure.Endpoint, "error", failure.Err)
	return refusal
}

// failureRefusals has no refusal for Canceled: no client is left to receive it.
var failureRefusals = map[upstream.Kind]*gate.Refusal{
	upstream.Unreachable:    gate.RefuseUnreachable,
	upstream.Busy:           gate.RefuseUpstreamBusy,
	upstream.TooLong:        gate.RefuseTooLong,
	upstream.UnknownOutcome: gate.RefuseUnknownOutcome,
	upstream.Broken:         gate.RefuseBroken,
	upstream.Timeout:        gate.RefuseTimeout,
}

// roomRefusals are for writes for which a store has no room.
var roomRefusals = map[v2v3.Room]*gate.Refusal{
	v2v3.ForModest: gate.RefuseGreedy, v2v3.ForKnown: gate.RefuseOpen, v2v3.ForNone: gate.RefuseFull,
}

// failedStore counts and logs that the store did not answer, and returns what Do returns.
func (x *Exchange) failedStore(ctx context.Context, err error, op *gate.Operation) (*gate.Refusal, error) {
	var failure *v2v3.Error
	if !errors.As(err, &failure) {
		panic("BUG: the store failed with an error of no kind: " + err.Error())
	}
	if ctx.Err() != nil {
		return nil, ErrBrokenOff
	}
	kind, refusal := upstream.Unreachable, gate.RefuseStore
	switch {
	case failure.Kind == v2v3.Busy: // with writes of clients; nothing is wrong with etcd
		return gate.RefuseUpstreamBusy, nil
	case failure.Kind == v2v3.NoRoom:
		return roomRefusals[failure.Room], nil
	case failure.Kind == v2v3.NotLive: // nothing is wrong with etcd either
		return gate.RefuseHeld, nil
	case failure.Kind == v2v3.Executed:
		kind, refusal = upstream.Broken, gate.RefuseLostAnswer(failure.Index)
	case failure.Kind == v2v3.UnknownOutcome && op.IsWrite():
		kind, refusal = upstream.UnknownOutcome, gate.RefuseUnknownOutcome
	}
	x.Observer.Metrics.UpstreamFailed(kind)
	x.Outage.Failed("kind", kind.String(), "error", failure.Reason)
	return refusal, nil
}
