package proxy

import (
	"context"
	"io"
	"net/http"
	"time"

	"etcd-tlsproxy/proxy/share"
)

// watch carries a long poll: the head at once, because clients take the index
// from it, and the event when it comes.
func (l standard) watch(w http.ResponseWriter, r *http.Request, s *Snapshot, rec *record) *Refusal {
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	running := &watch{op: &rec.op, peer: rec.peer, end: end}
	if refusal := l.watches.enter(running); refusal != nil {
		return refusal
	}
	reason := "client"
	defer func() { l.watches.leave(running, reason) }()
	// A reload between the decision and this line did not see the watch.
	if now := l.snapshot.Load(); now != s && !l.gate.Still(now, &rec.op, rec.peer) {
		reason = "revoked"
		return refuseIdentity
	}
	if conn := connectionOf(r.Context()); conn.strict != nil {
		go conn.strict.endWith(ctx, end)
	}
	poll := longPoll{standard: l, ctx: ctx, w: w, r: r, snapshot: s, rec: rec}
	var refusal *Refusal
	var err error
	if want, ok := rec.op.sharedWatch(); ok && s.Watches != nil {
		reason, refusal, err = poll.shared(want)
	} else {
		reason, refusal, err = poll.alone()
	}
	if err != nil {
		panic(http.ErrAbortHandler) // only a broken answer can tell what happened
	}
	return refusal
}

// endWith calls end when the client leaves. net/http notices that itself, but not any
// more once it has seen a byte of a request behind the one that it answers; a watch
// could last for ever then.
func (c *strictConn) endWith(ctx context.Context, end context.CancelCauseFunc) {
	wire := c.Conn.NetConn().(*countedConn)
	tick := time.NewTicker(c.limits().HeaderTimeout) // which is when half a request ends it
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if wire.left() {
				end(errGone)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// longPoll is a watch in the standard lane.
type longPoll struct {
	standard
	ctx      context.Context // ends with the client, the right to read, and the proxy
	w        http.ResponseWriter
	r        *http.Request
	snapshot *Snapshot
	rec      *record
}

// waker lets a goroutine wait for a watcher.
type waker chan struct{}

func (w waker) Wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// Woken has nothing to do: the watch's own goroutine takes note of its end.
func (w waker) Woken() {}

// shared waits in a hub. It returns why the watch ended, and how.
func (p *longPoll) shared(want share.Watch) (reason string, refusal *Refusal, err error) {
	woken := make(waker, 1)
	watcher, head, err := p.snapshot.Watches.Join(p.ctx, want, woken)
	if err != nil {
		return p.unanswered(err)
	}
	if watcher == nil {
		copyHeader(p.w.Header(), head.Fields, int64(len(head.Body)))
		p.w.WriteHeader(head.Status)
		return "refused", nil, p.send(head.Body)
	}
	defer watcher.Leave()
	copyHeader(p.w.Header(), head.Fields, -1)
	p.w.WriteHeader(head.Status)
	if err := p.send(nil); err != nil {
		return "client", nil, err
	}
	for watcher.Result() == nil {
		select {
		case <-woken:
		case <-p.ctx.Done():
			return p.endReason(), nil, errBrokenOff
		}
	}
	if p.ctx.Err() != nil { // a right that is gone counts before an event that is here
		return p.endReason(), nil, errBrokenOff
	}
	event := watcher.Result()
	if event.Err != nil {
		return "upstream", nil, errBrokenOff
	}
	return "event", nil, p.send(event.Body)
}

// alone waits on a connection to etcd of its own.
func (p *longPoll) alone() (reason string, refusal *Refusal, err error) {
	req := upstreamRequest(p.r, p.rec)
	req.Watch = true
	resp, err := p.snapshot.Upstream.Do(p.ctx, req)
	if err != nil {
		return p.unanswered(err)
	}
	defer resp.Close()
	copyHeader(p.w.Header(), resp.Fields, resp.Length)
	p.w.WriteHeader(resp.Status)
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	got := false
	for n := 0; ; {
		if p.ctx.Err() != nil {
			return p.endReason(), nil, errBrokenOff
		}
		if err := p.send(buf[:n]); err != nil {
			return "client", nil, err
		}
		n, err = resp.Read(buf[:])
		got = got || n > 0
		if err == io.EOF && got {
			return "event", nil, nil
		}
		if err != nil {
			// Also a clean end without an event, which is how a dying etcd leaves: a
			// client library takes it for an answer and fails on the empty body, but
			// connects again after a broken one.
			return p.endReason(), nil, errBrokenOff
		}
	}
}

func (p *longPoll) send(data []byte) error {
	return newSender(p.w, p.r, &p.snapshot.Limits).send(data, true)
}

// unanswered is how a watch ends to which etcd said nothing.
func (p *longPoll) unanswered(err error) (string, *Refusal, error) {
	switch reason := p.endReason(); reason {
	case "drain":
		return reason, refuseDraining, nil
	case "upstream":
		return reason, p.failed(err, p.rec), nil
	default:
		return reason, nil, errBrokenOff
	}
}

// endReason names what ended a watch before its event.
func (p *longPoll) endReason() string {
	if reason, ok := endReasons[context.Cause(p.ctx)]; ok {
		return reason
	}
	if p.r.Context().Err() != nil {
		return "client"
	}
	return "upstream"
}

var endReasons = map[error]string{errRevoked: "revoked", errDraining: "drain", errGone: "client"}
