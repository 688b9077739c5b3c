package lane

import (
	"context"
	"net/http"
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
	DoFor(ctx context.Context, op *v2store.Operation, client *v2v3.Client) (v2store.Answer, error)
	Size(op *v2store.Operation) int
	Watch(op *v2store.Operation, deliver func(*v2v3.Event), lost func(error)) (stop func(), head v2store.Answer, err error)
	Cluster() v2store.Cluster
	Status() v2v3.Status
	// Heard returns when etcd was last heard of.
	Heard() time.Time
	Statistics() []byte
	Members(ctx context.Context, method, path, contentType string, body []byte) (v2v3.Reply, error)
	MemberList(ctx context.Context) ([]v2v3.Member, error)
}

// Origin is an etcd v3 store in place of the v2 API of etcd.
type Origin struct {
	Store Store
	// Feed wakes the watchers of the store.
	Feed *share.Feed

	heads heads
}

// serves reports whether the store answers an operation. All others are sent to etcd, whose
// releases without the v2 API have these paths as well.
func (o *Origin) serves(op *gate.Operation) bool {
	switch op.Surface {
	case gate.Keys, gate.Members, gate.Auth:
		return true
	case gate.Info:
		return strings.HasPrefix(op.Path, "/v2/")
	}
	return false
}

// parse returns the operation of a request for a key, or etcd's error. The store may still
// use the operation of a write or a watch when the request has ended, so it gets copies.
func parse(op *gate.Operation, contentType string, body []byte, copies bool) (*v2store.Operation, *v2store.Error) {
	_, query, _ := strings.Cut(op.Target, "?")
	r := v2store.Request{Method: op.Method, Path: string(op.Key), Query: query, ContentType: contentType, Body: string(body)}
	if copies {
		r.Path, r.Query = strings.Clone(r.Path), strings.Clone(r.Query)
	}
	parsed, invalid := v2store.Parse(&r, time.Now())
	if invalid == nil {
		checkParsed(op, parsed)
	}
	return parsed, invalid
}

// checkParsed makes sure that the store does what the gate has decided on, and nothing else.
func checkParsed(op *gate.Operation, parsed *v2store.Operation) {
	key := parsed.Key
	if key == "" {
		key = string(acl.Root)
	}
	switch {
	case key != string(op.Key):
		panic("BUG: the store would use another key than the gate has decided on")
	case parsed.Write() != op.IsWrite():
		panic("BUG: the store would write where the gate has decided on a read, or the reverse")
	case parsed.Action == v2store.Watch && !op.Watch, parsed.Action != v2store.Watch && op.Watch && !parsed.Quorum:
		panic("BUG: the store would watch where the lane expects an answer, or the reverse")
	}
}

// fromStore is Do for an operation that the store answers.
func (x *Exchange) fromStore(ctx context.Context, call *Call, buffer func() []byte) (a Answer, refusal *gate.Refusal, err error) {
	op := call.Op
	if op.Surface != gate.Keys {
		return x.fromMembers(ctx, call)
	}
	o := call.Snapshot.Origin
	parsed, invalid := parse(op, call.ContentType, call.Body, op.IsWrite())
	if invalid != nil {
		o.answer(&a, op.Method, invalid.Answer())
		return a, nil, nil
	}
	a = Answer{slot: x.newSlot(call)}
	if parsed.Write() {
		a.claim = x.newClaim(call)
	} else { // the store knows the size before it makes the answer
		a.claim = x.Bulk.Known(call.account, int64(o.Store.Size(parsed)), op.Tree)
	}
	defer a.slot.release()
	// Reads cost etcd nothing or, together, a request in each round trip, so that they need no slot.
	if !a.claim.TryAcquire() || parsed.Write() && !a.slot.try() {
		if a.acquire(ctx, call) != nil {
			return x.crowded(ctx)
		}
	}
	refusal, err = x.askStore(ctx, call, parsed, &a)
	if err == errLarge { //nolint:errorlint // never wrapped: askStore returns it itself
		if a.acquire(ctx, call) != nil {
			return x.crowded(ctx)
		}
		a.mayGrow = true
		refusal, err = x.askStore(ctx, call, parsed, &a)
	}
	if refusal == nil && err == nil && !a.Whole {
		buf := buffer()
		n, _ := a.stored.large.Read(buf) // it does not fail, and has not ended
		a.Body = buf[:n]
	}
	return a, refusal, err
}

// askStore has an operation carried out, and charges the answer to its client. If it fails, the
// answer holds nothing any more.
func (x *Exchange) askStore(ctx context.Context, call *Call, parsed *v2store.Operation, a *Answer) (*gate.Refusal, error) {
	o := call.Snapshot.Origin
	received := false
	defer func() {
		if !received { // the answer failed, or a bug caused a panic
			a.Close()
		}
	}()
	began := time.Now()
	var got v2store.Answer
	var err error
	if parsed.Write() {
		got, err = x.write(ctx, call, parsed, a)
	} else {
		got, err = o.Store.DoFor(ctx, parsed, nil)
	}
	if err != nil {
		return x.failedStore(ctx, err, call.Op)
	}
	if parsed.Write() || parsed.Quorum { // others wait for no etcd
		call.Snapshot.Upstream.Counters().ObserveAnswer(parsed.Write(), time.Since(began))
		x.Outage.Succeeded()
	}
	o.answer(a, call.Op.Method, got)
	size := a.bodySize()
	a.claim.Began(size, a.Status == http.StatusOK || a.Status == http.StatusNotFound)
	switch {
	case size <= UncountedAnswer || x.Bulk == nil, a.holdMemory(x, call, size):
		a.claim.Release()
	case a.claim.Cover(), a.mayGrow:
		a.large = newHold(x.Bulk.Bytes, call.account, a.claim.Held(), call.Client)
	case !parsed.Write():
		return nil, errLarge // it must not be in memory until it is this client's turn
	case call.wait(ctx, a.claim.Acquire) != nil:
		return gate.RefuseUnknownOutcome, nil // the write was carried out, and its answer cannot be sent
	default:
		a.large = newHold(x.Bulk.Bytes, call.account, a.claim.Held(), call.Client)
	}
	received = true
	return nil, nil
}

// holdMemory charges an answer to its client as one that waits for the client, and reports
// whether there was memory.
func (a *Answer) holdMemory(x *Exchange, call *Call, size int64) bool {
	if size > upstream.MaxBuffered || x.Memory == nil {
		return false
	}
	lease := account.NewLease(x.Memory, call.account, account.Ordinary)
	if !lease.TryGrow(size) {
		return false
	}
	a.stored.lease = lease
	a.memory = newHold(x.Memory, call.account, lease.Units(), call.Client)
	return true
}

// Waits reports whether an operation waits for an event. A store answers a quorum read at once,
// whatever else it asks for, and an error as well. Both are carried by [Exchange.Do].
func (s *Snapshot) Waits(op *gate.Operation) bool {
	if !op.Watch || s.Origin == nil {
		return op.Watch
	}
	parsed, invalid := parse(op, "", nil, false)
	return invalid == nil && parsed.Action == v2store.Watch
}

// joinStore is Join for a watch that the store serves.
func (x *Exchange) joinStore(ctx context.Context, s *Snapshot, w *Watch, n share.Notifier) (*share.Watcher, *share.Head, End) {
	o := s.Origin
	parsed, invalid := parse(w.Op, "", nil, true)
	if invalid != nil {
		return nil, o.heads.complete(invalid.Answer(), o.Store.Cluster()), End{Reason: "refused"}
	}
	if parsed.Since > 0 {
		past := x.Bulk.Past(w.account, w.Op.Path, parsed.Recursive)
		if !past.TryAcquire() {
			turn, cancel := context.WithTimeout(ctx, s.Upstream.Patience())
			defer cancel()
			if past.Acquire(turn) != nil {
				if ctx.Err() == nil {
					return nil, nil, End{Reason: "upstream", Refusal: gate.RefuseUpstreamBusy}
				}
				return nil, nil, End{Reason: EndReason(ctx), Err: ErrBrokenOff}
			}
		}
		defer past.Release()
		watcher, head, end := x.startStore(ctx, o, parsed, w, n)
		if watcher != nil {
			if e := watcher.Result(); e != nil {
				past.Began(int64(len(e.Body)), true) // the feed counts it from now on
			} else {
				past.Missed()
			}
		}
		return watcher, head, end
	}
	return x.startStore(ctx, o, parsed, w, n)
}

// startStore starts a watch at the store.
func (x *Exchange) startStore(ctx context.Context, o *Origin, parsed *v2store.Operation, w *Watch, n share.Notifier) (*share.Watcher, *share.Head, End) {
	watcher := o.Feed.Watcher(n, w.account, parsed.Stream)
	deliver := func(e *v2v3.Event) { watcher.Deliver(e, e.Index, e.Body, e.Chunked) }
	stop, head, err := o.Store.Watch(parsed, deliver, watcher.Fail)
	if err != nil {
		watcher.Close()
		return nil, nil, x.unansweredStore(ctx, err, w.Op)
	}
	if head.Status != 200 {
		watcher.Close()
		return nil, o.heads.complete(head, o.Store.Cluster()), End{Reason: "refused"}
	}
	x.Outage.Succeeded()
	watcher.Started(stop)
	return watcher, o.heads.watch(head, o.Store.Cluster()), End{}
}
