package lane

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// End says how a watch ended: the reason for the metric, and at most one of a refusal,
// which the lane must send, and [ErrBrokenOff].
type End struct {
	Reason  string
	Refusal *gate.Refusal
	Err     error
}

// StartWatch registers a watch that s allows. If there is no refusal, the lane must
// release it from x.Watches when it ends.
func (x *Exchange) StartWatch(s *Snapshot, w *Watch) *gate.Refusal {
	if s.Changeover != nil && s.Origin == nil && !s.Changeover.Known() {
		return x.unknownOrigin(s.Changeover)
	}
	if refusal := x.Watches.acquire(w, x.Account(w.Peer, w.Op)); refusal != nil {
		return refusal
	}
	if refusal := x.Watches.register(w); refusal != nil {
		x.Watches.release(w)
		return refusal
	}
	if x.Watches.Pool != nil {
		x.Watches.Pool.Register(w.account, runningWatch{x.Watches, w})
	}
	now := x.Current.Load()
	if s.Changeover != nil && (now.Origin == nil) != (s.Origin == nil) {
		// It would wait for events at an API that nobody writes any more.
		x.Watches.Release(w, "moved")
		return gate.RefuseHeld
	}
	if now == s && !w.Op.Expires(&s.Policy) {
		return nil
	}
	// A reload between the gate's decision and the registration did not check the watch, and
	// a certificate can expire while the watch runs.
	if still, _ := x.Gate.Still(&now.Policy, w.Op, w.Peer); !still {
		x.Watches.Release(w, "revoked")
		return gate.RefuseIdentity
	}
	x.Watches.recheck(x.Gate, x.policy, w)
	return nil
}

// policy returns the policy in force.
func (x *Exchange) policy() *gate.Policy { return &x.Current.Load().Policy }

// Join joins the shared watch of a watch that has started, for which [Snapshot.Joins] must hold. It
// returns the head of the answer and a watcher, which the lane must close. The watcher is
// nil if the answer does not wait, as a refusal: the head then is the complete answer. The head is nil if
// the watch ended before etcd answered; end then says how. ctx must end, with its cause,
// when the watch is ended from outside.
func (x *Exchange) Join(ctx context.Context, s *Snapshot, w *Watch, n share.Notifier) (watcher *share.Watcher, head *share.Head, end End) {
	op := w.Op
	if s.Origin != nil {
		return x.joinStore(ctx, s, w, n)
	}
	want, ok := SharedWatch(op)
	if !ok || s.Watches == nil {
		panic("BUG: a watch that cannot be shared")
	}
	want.Claim = x.Bulk.Watch(w.account, want.Path, want.Recursive)
	watcher, head, err := s.Watches.Join(ctx, want, n)
	if err != nil {
		return nil, nil, x.unanswered(ctx, err, op)
	}
	if watcher == nil {
		end.Reason = "refused"
	}
	return watcher, head, end
}

// Alone carries a watch that is not shared, on its own connection to etcd. If end.Reason is
// empty, the caller must close the answer.
func (x *Exchange) Alone(ctx context.Context, call *Call, w *Watch) (a Answer, end End) {
	a.claim = x.Bulk.Watch(w.account, call.Op.Path, call.Op.Tree)
	if _, ok := SharedWatch(call.Op); !ok {
		a.claim.Surplus() // clients can start any number of them for one key
	}
	if !a.claim.TryAcquire() && acquireClaim(ctx, &a.claim) != nil {
		if ctx.Err() == nil {
			return Answer{}, End{Reason: "upstream", Refusal: gate.RefuseUpstreamBusy}
		}
		return Answer{}, x.unanswered(ctx, &upstream.Error{Kind: upstream.Canceled, Err: ctx.Err()}, call.Op)
	}
	if a.claim.Held() > 0 {
		a.large = holdWatch(x.Bulk.Watched, w, a.claim.Held(), call.Client)
	}
	resp, err := x.askAlone(ctx, call, &a)
	if err != nil {
		a.Close()
		return Answer{}, x.unanswered(ctx, err, call.Op)
	}
	x.Outage.Succeeded()
	a.Status, a.Fields, a.Length, a.resp, a.isWatch = resp.Status, resp.Fields, resp.Length, resp, true
	return a, End{}
}

// askAlone sends the request of a watch that is not shared. If its event may exist already, and may
// be large, others can have their turn before it, and it has its own until the event begins.
func (x *Exchange) askAlone(ctx context.Context, call *Call, a *Answer) (*upstream.Response, error) {
	op := call.Op
	if !op.Past {
		return call.Snapshot.Upstream.Do(ctx, call.upstreamRequest())
	}
	past := a.claim.Past(op.Path, op.Tree)
	if _, ok := SharedWatch(op); ok && !past.IsLong() {
		return call.Snapshot.Upstream.Do(ctx, call.upstreamRequest())
	}
	a.past = &past
	if err := call.wait(ctx, past.Acquire); err != nil {
		return nil, &upstream.Error{Kind: upstream.Busy, Err: err}
	}
	resp, err := call.Snapshot.Upstream.Do(ctx, call.upstreamRequest())
	if err != nil {
		return nil, err
	}
	arrived, err := resp.Arrived(pastPatience(&past))
	if err != nil {
		resp.Close()
		return nil, err
	}
	if !arrived {
		past.Missed()
		a.past = nil
	}
	return resp, nil
}

// pastPatience returns how long a watch has its turn for an event that may exist already.
func pastPatience(past *bulk.Claim) time.Duration {
	if past.IsLong() {
		return share.LongPatience
	}
	return share.PastPatience
}

// acquireClaim acquires what a watch expects to need, and waits for its turn.
func acquireClaim(ctx context.Context, claim *bulk.Claim) error {
	ctx, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	return claim.Acquire(ctx)
}

// unanswered returns the end of a watch that etcd did not answer.
func (x *Exchange) unanswered(ctx context.Context, err error, op *gate.Operation) End {
	end := End{Reason: EndReason(ctx)}
	switch end.Reason {
	case "drain":
		end.Refusal = gate.RefuseDraining
	case "moved":
		end.Refusal = gate.RefuseHeld
	case "upstream":
		if end.Refusal = x.failure(err, op); end.Refusal == nil {
			end.Err = ErrBrokenOff
		}
	default:
		end.Err = ErrBrokenOff
	}
	return end
}

// unansweredStore is unanswered for a watch that the store did not answer.
func (x *Exchange) unansweredStore(ctx context.Context, err error, op *gate.Operation) End {
	end := End{Reason: EndReason(ctx)}
	switch end.Reason {
	case "drain":
		end.Refusal = gate.RefuseDraining
	case "moved":
		end.Refusal = gate.RefuseHeld
	case "upstream":
		end.Refusal, end.Err = x.failedStore(ctx, err, op)
	default:
		end.Err = ErrBrokenOff
	}
	return end
}

// EndReason returns the reason why a watch ended before its event. ctx is the watch's.
func EndReason(ctx context.Context) string {
	if cause := context.Cause(ctx); cause != nil {
		return CauseReason(cause)
	}
	return "upstream"
}

// CauseReason returns the reason of a watch that was ended with a cause.
func CauseReason(cause error) string {
	switch {
	case errors.Is(cause, errRevoked):
		return "revoked"
	case errors.Is(cause, errDraining):
		return "drain"
	case errors.Is(cause, errMoved):
		return "moved"
	case errors.Is(cause, ErrShort):
		return "shed"
	}
	return "client"
}

// SharedWatch returns the watch of an operation. ok is false if the watch cannot be shared.
func SharedWatch(op *gate.Operation) (w share.Watch, ok bool) {
	_, query, _ := strings.Cut(op.Target, "?")
	w, ok = ParseWatch(query)
	w.Path, w.Key = op.Path, string(op.Key)
	return w, ok
}

// ParseWatch reads the query of a watch. ok is false unless other clients may ask for the
// same watch: it must have no parameters but wait, waitIndex and recursive, each written
// plainly and once. etcd receives any other watch as it is.
func ParseWatch(query string) (w share.Watch, ok bool) {
	var seenWait, seenIndex, seenRecursive bool
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		var err error
		switch {
		case name == "wait" && !seenWait:
			seenWait = true // the gate has read its value
		case name == "waitIndex" && !seenIndex:
			seenIndex = true
			w.Since, err = strconv.ParseUint(value, 10, 64)
		case name == "recursive" && !seenRecursive:
			seenRecursive = true
			w.Recursive, err = strconv.ParseBool(value)
		default:
			return w, false
		}
		if err != nil {
			return w, false
		}
	}
	return w, seenWait
}
