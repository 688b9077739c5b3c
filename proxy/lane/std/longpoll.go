package std

import (
	"context"
	"io"
	"net/http"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// watch carries a long poll: the head at once, because clients take the index
// from it, and the event when it comes.
func (q *request) watch() *gate.Refusal {
	x := q.server.exchange
	ctx, cancel := context.WithCancelCause(q.r.Context())
	defer cancel(nil)
	running := &lane.Watch{Op: &q.rec.Op, Peer: q.conn.peer, End: cancel}
	if refusal := x.StartWatch(q.snapshot, running); refusal != nil {
		return refusal
	}
	end := lane.End{Reason: "client"}
	defer func() { x.Watches.Release(running, end.Reason) }()
	q.endWatch.Store(&cancel)
	q.task.enter(watching)
	if q.conn.strict != nil {
		// net/http itself notices that a client disconnects, but not after it has read a byte of
		// a request behind the watch. Such a watch could last forever.
		every := q.conn.strict.limits().HeaderTimeout // half a request ends then as well
		go lane.Wire(q.conn.strict.Conn).WatchPeer(ctx, every, cancel)
	}
	poll := longPoll{request: q, ctx: ctx, running: running}
	if q.snapshot.Joins(&q.rec.Op, q.r.Header.Get("Authorization")) {
		end = poll.shared()
	} else {
		end = poll.alone()
	}
	if end.Err != nil {
		panic(http.ErrAbortHandler) // only breaking off the answer can show the failure
	}
	return end.Refusal
}

// longPoll is a watch in the standard lane.
type longPoll struct {
	*request
	running *lane.Watch
	ctx     context.Context // ends with the client, its right to read, and the proxy
}

// notifier lets a goroutine wait until its watcher is notified.
type notifier struct {
	*request
	news chan struct{}
}

// Notify implements [share.Notifier].
func (n *notifier) Notify() {
	select {
	case n.news <- struct{}{}:
	default:
	}
}

// AfterNotify implements [share.Notifier]. The watch's own goroutine reports its end.
func (n *notifier) AfterNotify() {}

// shared waits for the event of a shared watch, or for the events of a stream.
func (p *longPoll) shared() lane.End {
	news := &notifier{p.request, make(chan struct{}, 1)}
	watcher, head, end := p.server.exchange.Join(p.ctx, p.snapshot, p.running, news)
	if watcher == nil {
		if head != nil {
			copyHeader(p.w.Header(), head.Fields, int64(len(head.Body)))
			p.w.WriteHeader(head.Status)
			end.Err = p.send(head.Body)
		}
		return end
	}
	defer watcher.Close()
	p.rec.Shared = true
	copyHeader(p.w.Header(), head.Fields, -1)
	p.w.WriteHeader(head.Status)
	if err := p.send(nil); err != nil {
		return lane.End{Reason: "client", Err: err}
	}
	for {
		for watcher.Result() == nil {
			select {
			case <-news.news:
			case <-p.ctx.Done():
				return p.brokenOff()
			}
		}
		if p.ctx.Err() != nil { // a revoked right takes precedence over an event
			return p.brokenOff()
		}
		event := watcher.Result()
		if event.Err != nil {
			return lane.End{Reason: "upstream", Err: lane.ErrBrokenOff}
		}
		if err := p.send(event.Body); err != nil || !watcher.Next() {
			return lane.End{Reason: "event", Err: err}
		}
	}
}

// alone waits on a connection to etcd of its own.
func (p *longPoll) alone() lane.End {
	answer, end := p.server.exchange.Alone(p.ctx, p.newCall(), p.running)
	if end.Reason != "" {
		return end
	}
	defer answer.Close()
	copyHeader(p.w.Header(), answer.Fields, answer.Length)
	p.w.WriteHeader(answer.Status)
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	got := false
	for n := 0; ; {
		if p.ctx.Err() != nil {
			return p.brokenOff()
		}
		err := p.send(buf[:n])
		if err != nil {
			return lane.End{Reason: "client", Err: err}
		}
		n, err = answer.Read(buf[:])
		got = got || n > 0
		if err == io.EOF && got { //nolint:errorlint // never wrapped: Read returns io.EOF itself at the end, and an *upstream.Error otherwise
			return lane.End{Reason: "event"}
		}
		if err != nil {
			// A clean end without an event is broken off as well: it is how an etcd that
			// shuts down ends a watch. A client library takes it for an answer and fails on
			// the empty body, but connects again after a broken one.
			return p.brokenOff()
		}
	}
}

// brokenOff is the end of a watch without its event.
func (p *longPoll) brokenOff() lane.End {
	return lane.End{Reason: lane.EndReason(p.ctx), Err: lane.ErrBrokenOff}
}

func (p *longPoll) send(data []byte) error {
	return p.newSender().send(data, true)
}
