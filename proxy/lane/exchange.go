package lane

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// Exchange carries operations of clients to etcd and its answers back. One Exchange
// serves all lanes.
type Exchange struct {
	Gate     *gate.Gate
	Observer *observe.Observer
	Current  *Current
	Watches  *Watches
	Log      *slog.Logger
	// Accounts has the accounts of all clients.
	Accounts *account.Table
	Pools
	// Written adds up what clients have written to a v3 store, in bytes.
	Written *account.Tally
	// Outage logs that etcd does not answer.
	Outage *observe.Outage
	// Held logs that requests are refused because they were held for too long.
	Held *observe.Outage
}

// NewOutage returns what logs the failures of etcd.
func NewOutage(log *slog.Logger) *observe.Outage {
	o := &observe.Outage{Began: "etcd did not answer", Lasts: "etcd still does not answer every request", Ended: "etcd answers again", Log: log}
	o.Watch()
	return o
}

// NewHeld returns what logs the requests that were held for too long. A command that moves keys, and takes too long,
// has all writes of all clients refused.
func NewHeld(log *slog.Logger) *observe.Outage {
	return &observe.Outage{Began: "a request was held for too long and refused", Lasts: "requests are still held for too long and refused",
		Ended: "writes are taken again", Log: log}
}

// ErrBrokenOff means that the client cannot get a complete answer: it has disconnected, or
// the answer ended early after its head was sent. Then only closing the connection or the
// stream tells the client that the answer is incomplete.
var ErrBrokenOff = errors.New("the answer was broken off")

// Account returns the account that is charged for an operation: that of the user or, if the
// decision did not depend on the user, that of the client's address. The caller must close
// it when nothing is charged any more.
func (x *Exchange) Account(peer *gate.Peer, op *gate.Operation) *account.Account {
	if name := op.Identity.Name; name != "" {
		return x.Accounts.User(name, peer.Addr.Addr())
	}
	return x.Accounts.Address(peer.Addr.Addr())
}

// payer returns the account that is charged for an operation as long as its connection is open.
func payer(peer *gate.Peer, op *gate.Operation) *account.Account {
	if a := peer.Users.Account(op.Identity.Name); a != nil {
		return a
	}
	return peer.Account
}

// Decide asks the gate, which sets the operation of the record, and counts its decision. See
// [gate.Gate.Decide].
func (x *Exchange) Decide(ctx context.Context, s *Snapshot, req *gate.Request, rec *observe.Record) *gate.Refusal {
	if x.Observer.Records.Timed() {
		start := time.Now()
		defer func() { rec.Login = time.Since(start) }()
	}
	refusal := x.Gate.Decide(ctx, &s.Policy, req, &rec.Op)
	x.Observer.Decided(s.counts, &rec.Op, refusal)
	return refusal
}

// Do carries a call that is not a watch to etcd and returns the answer, which must be
// closed; [Exchange.Join] and [Exchange.Alone] carry watches. A read that
// can be shared joins the next request for the same target. Otherwise the first bytes of
// the body are read into a buffer before Do returns, so that an answer that breaks off at
// once can still become an error that clients understand. Do calls buffer when etcd has
// started to answer, because thousands of requests may be waiting for that. The body of the
// request is not used any more then. An answer that
// should be received whole is received whole, unless it is too large.
//
// The lane must send a refusal. The error, if any, is [ErrBrokenOff]. When ctx ends, Do and
// reads of the answer fail at once, the connection to etcd is closed, and its slot and its
// bytes are released.
//
// Nothing but the answer refers to call and the buffer afterwards. Do sets call.Waited
// and call.Turn.
func (x *Exchange) Do(ctx context.Context, call *Call, buffer func() []byte) (Answer, *gate.Refusal, error) {
	if x.Observer.Records.Timed() {
		start := time.Now()
		defer func() { call.Waited = time.Since(start) }()
	}
	s, op := call.Snapshot, call.Op
	call.account = payer(call.Peer, op)
	switch {
	case s.changing(op):
		return x.whileChanging(ctx, call, buffer)
	case s.Origin != nil && s.Origin.serves(op):
		return x.fromStore(ctx, call, buffer)
	}
	return x.fromEtcd(ctx, call, buffer)
}

// askEtcd is Do for an operation that etcd answers.
func (x *Exchange) askEtcd(ctx context.Context, call *Call, buffer func() []byte) (Answer, *gate.Refusal, error) {
	s, op := call.Snapshot, call.Op
	a := Answer{slot: x.newSlot(call), claim: x.newClaim(call)}
	var lead share.Lead
	if s.Reads != nil && op.Shared && a.claim.Size() <= upstream.MaxBuffered && s.forwarded(call.Authorization) == "" {
		var shared *share.Answer
		var err error
		if lead, shared, err = s.Reads.Join(ctx, op.Path, op.SharedQuery, &a.claim, call.Client); err != nil {
			refusal, err := x.failed(err, op)
			return Answer{}, refusal, err
		}
		if shared != nil {
			a := Answer{Status: shared.Status, Fields: shared.Fields, Length: int64(len(shared.Body)), Body: shared.Body, Whole: true, Shared: shared.Shared, shared: shared}
			if op.Method == gate.MethodHead {
				a.Body = nil
			}
			return a, nil, nil
		}
		defer lead.Done()
		a.claim.Refresh() // a request of others may have shown that the answer is large
	}
	if !a.claim.TryAcquire() || !a.slot.try() {
		// Others must not wait behind this client for the answer that they could share.
		lead.Done()
		if a.acquire(ctx, call) != nil {
			return x.crowded(ctx)
		}
	}
	refusal, err := x.ask(ctx, call, &a, &lead, buffer)
	if err == errLarge { //nolint:errorlint // never wrapped: ask returns it itself
		// etcd must not wait with the answer until it is this client's turn.
		if a.acquire(ctx, call) != nil {
			return x.crowded(ctx)
		}
		a.mayGrow = true
		refusal, err = x.ask(ctx, call, &a, &lead, buffer)
	}
	return a, refusal, err
}

// errLarge means that an answer is too large to be held, and that etcd sends too many of those
// already.
var errLarge = errors.New("too many large answers")

// ask sends the request of a call and receives the answer. If it fails, the answer holds
// nothing any more.
func (x *Exchange) ask(ctx context.Context, call *Call, a *Answer, lead *share.Lead, buffer func() []byte) (*gate.Refusal, error) {
	s, op := call.Snapshot, call.Op
	received := false
	defer func() {
		if !received { // the answer failed, or a bug caused a panic
			a.Close()
		}
	}()
	resp, err := s.Upstream.Do(ctx, call.upstreamRequest())
	if err != nil {
		return x.failed(err, op)
	}
	x.Outage.Succeeded()
	a.Status, a.Fields, a.Length, a.resp = resp.Status, resp.Fields, resp.Length, resp
	call.Body, call.request.Body = nil, nil // the lane may free it when buffer is called
	buf := buffer()
	n, err := readFull(resp, buf)
	if err != nil && err != io.EOF { //nolint:errorlint // never wrapped: Read returns io.EOF itself at the end, and an *upstream.Error otherwise
		return x.failed(err, op)
	}
	if op.Method != gate.MethodHead {
		a.claim.Began(resp.Announced(), resp.Shows())
	}
	// Other readers wait for etcd, not for this client.
	lead.Done()
	a.Body, a.Whole = buf[:n], err == io.EOF //nolint:errorlint // never wrapped: see above
	if !a.Whole && op.ReceivedWhole() {
		if a.buffered, a.Whole, err = resp.ReadBuffered(a.Body, upstream.Payer{Memory: x.Memory, Account: call.account}); err != nil {
			return x.failed(err, op)
		}
		if a.Body = a.buffered.Bytes; a.Whole {
			a.Length = int64(len(a.Body))
		}
	}
	if a.Whole {
		a.claim.Release() // etcd has sent it
	} else if x.Bulk != nil {
		a.claim.Began(resp.Announced(), resp.Shows())
		switch {
		case a.claim.Cover(), a.mayGrow:
		case op.Access == acl.Read:
			return nil, errLarge
		case call.wait(ctx, a.claim.Acquire) != nil:
			// The write was carried out, and its answer cannot be sent.
			return gate.RefuseUnknownOutcome, nil
		}
		a.large = newHold(x.Bulk.Bytes, call.account, a.claim.Held(), call.Client)
	}
	if !a.Whole {
		resp.Answered() // the rest of the duration is the client's
	}
	if a.large != nil {
		a.slot.release()
	}
	if a.buffered != nil {
		if units := a.buffered.Units(); units > 0 {
			a.memory = newHold(x.Memory, call.account, units, call.Client)
		}
	}
	received = true
	return nil, nil
}

// crowded is what Do returns if a call did not get its turn.
func (x *Exchange) crowded(ctx context.Context) (Answer, *gate.Refusal, error) {
	if ctx.Err() != nil {
		return Answer{}, nil, ErrBrokenOff
	}
	return Answer{}, gate.RefuseUpstreamBusy, nil
}

// readFull reads until buf is full or the message ends. io.EOF is the end of the message.
func readFull(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}
