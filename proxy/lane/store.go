package lane

import (
	"context"
	"strings"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
)

// Store answers the v2 API from an etcd v3 store. It is a [*v2v3.Store], which documents the
// methods.
type Store interface {
	Do(ctx context.Context, op *v2store.Operation) (v2store.Answer, error)
	Watch(op *v2store.Operation, deliver func(*v2v3.Event), lost func(error)) (stop func(), head v2store.Answer, err error)
	Cluster() v2store.Cluster
}

// Origin is an etcd v3 store in place of the v2 API of etcd.
type Origin struct {
	Store Store
	// Feed wakes the watchers of the store.
	Feed *share.Feed

	heads heads
}

// serves reports whether the store answers an operation. All others are sent to etcd.
func (o *Origin) serves(op *gate.Operation) bool { return op.Surface == gate.Keys }

// parse returns the operation of a request for a key, or etcd's error. The store may still
// use the operation of a write or a watch when the request has ended, so it gets copies.
func parse(op *gate.Operation, contentType string, body []byte, copies bool) (*v2store.Operation, *v2store.Error) {
	_, query, _ := strings.Cut(op.Target, "?")
	r := v2store.Request{Method: op.Method, Path: string(op.Key), Query: query, ContentType: contentType, Body: string(body)}
	if copies {
		r.Path, r.Query = strings.Clone(r.Path), strings.Clone(r.Query)
	}
	return v2store.Parse(&r, time.Now())
}

// fromStore is Do for an operation that the store answers.
func (x *Exchange) fromStore(ctx context.Context, call *Call) (a Answer, refusal *gate.Refusal, err error) {
	op := call.Op
	o := call.Snapshot.Origin
	parsed, invalid := parse(op, call.ContentType, call.Body, op.Access == acl.Write)
	if invalid != nil {
		return o.answer(call, invalid.Answer()), nil, nil
	}
	// Reads cost etcd nothing or, together, a request in each round trip.
	slot := x.newSlot(call)
	if parsed.Write() && !slot.try() && slot.acquire(ctx, call) != nil {
		return x.crowded(ctx)
	}
	defer slot.release()
	for large := false; ; large = true {
		got, err := o.Store.Do(ctx, parsed)
		if err != nil {
			a.Close()
			refusal, err := x.failedStore(ctx, err, op)
			return Answer{}, refusal, err
		}
		x.Outage.Succeeded()
		held := a.large
		a = o.answer(call, got)
		if a.large = held; large || x.holdAnswer(call, &a) {
			return a, nil, nil
		}
		if !parsed.Write() {
			// The answer must not be in memory until it is this client's turn.
			a.Close()
			a = Answer{}
		}
		if call.acquire(ctx, x.Large, account.Ordinary) != nil {
			a.Close()
			if parsed.Write() {
				// The write was carried out, and its answer cannot be sent.
				return Answer{}, gate.RefuseUnknownOutcome, nil
			}
			return x.crowded(ctx)
		}
		if a.large = newHold(x.Large, call.Peer.Account, 1, call.Client); parsed.Write() {
			return a, nil, nil
		}
	}
}

// uncountedAnswer is the size of an answer that is not charged to its client, because the
// number of connections bounds these.
const uncountedAnswer = 64 << 10

// holdAnswer charges an answer to its client, and reports whether the client may have it now.
// An answer that is too large for the memory of answers counts as a large one.
func (x *Exchange) holdAnswer(call *Call, a *Answer) bool {
	size := int64(len(a.Body))
	if size <= uncountedAnswer {
		return true
	}
	who := call.Peer.Account
	if size <= upstream.MaxBuffered && x.Memory != nil {
		lease := account.NewLease(x.Memory, who, account.Ordinary)
		if lease.TryGrow(size) {
			a.stored.lease = lease
			a.memory = newHold(x.Memory, who, lease.Units(), call.Client)
			return true
		}
	}
	if x.Large == nil {
		return true
	}
	if !x.Large.TryAcquire(who, 1, account.Ordinary) {
		return false
	}
	a.large = newHold(x.Large, who, 1, call.Client)
	return true
}

// joinStore is Join for a watch that the store serves.
func (x *Exchange) joinStore(ctx context.Context, o *Origin, op *gate.Operation, n share.Notifier) (*share.Watcher, *share.Head, End) {
	parsed, invalid := parse(op, "", nil, true)
	if invalid != nil {
		return nil, o.heads.complete(invalid.Answer(), o.Store.Cluster()), End{Reason: "refused"}
	}
	if parsed.Action != v2store.Watch { // a quorum read does not wait
		got, err := o.Store.Do(ctx, parsed)
		if err != nil {
			return nil, nil, x.unansweredStore(ctx, err, op)
		}
		return nil, o.heads.complete(got, o.Store.Cluster()), End{Reason: "event"}
	}
	w := o.Feed.Watcher(n, parsed.Stream)
	deliver := func(e *v2v3.Event) { w.Deliver(e, e.Index, e.Body, e.Chunked) }
	stop, head, err := o.Store.Watch(parsed, deliver, w.Fail)
	if err != nil {
		w.Close()
		return nil, nil, x.unansweredStore(ctx, err, op)
	}
	if head.Status != 200 {
		w.Close()
		return nil, o.heads.complete(head, o.Store.Cluster()), End{Reason: "refused"}
	}
	x.Outage.Succeeded()
	w.Started(stop)
	return w, o.heads.watch(head, o.Store.Cluster()), End{}
}
