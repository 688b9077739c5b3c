package proxy

import (
	"context"
	"strings"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/share"
)

// startWatch joins a hub and sends the head, which tells the index. The event is
// sent by finishWatch, once there is nothing left to keep of the request.
func (c *fast) startWatch(s *Snapshot, alive bool) (*Refusal, error) {
	c.rec.keep()
	want, ok := c.rec.op.sharedWatch()
	if !ok {
		panic("BUG: a watch in the fast lane that cannot be shared")
	}
	f := &fastWatch{c: c, alive: alive, rec: c.rec}
	f.running = watch{op: &f.rec.op, peer: c.peer, end: f.end}
	if refusal := c.watches.enter(&f.running); refusal != nil {
		return refusal, nil
	}
	reason := "client"
	defer func() {
		if c.watch == nil {
			c.watches.leave(&f.running, reason)
			c.idleSince = time.Time{} // the read may have been ended meanwhile
		}
	}()
	// A reload between the decision and this line did not see the watch.
	if now := c.snapshot.Load(); now != s && !c.gate.Still(now, &c.rec.op, c.peer) {
		reason = "revoked"
		return refuseIdentity, nil
	}
	watcher, head, err := f.join(s, want)
	if err != nil {
		return f.unanswered(err, &reason)
	}
	if watcher == nil {
		reason = "refused"
		return nil, c.sendWhole(s, head.Status, head.Fields, head.Body, alive)
	}
	c.startHead(head.Status)
	c.fields(head.Fields)
	c.field("Transfer-Encoding", "chunked")
	c.endHead(-1, alive)
	if err := c.write(s, c.out); err != nil {
		watcher.Leave()
		return nil, err
	}
	f.rec.status = c.rec.status
	f.watcher = watcher
	c.watch = f
	return nil, nil
}

// join waits for the head; whoever ends the watch ends this, too.
func (f *fastWatch) join(s *Snapshot, want share.Watch) (*share.Watcher, *share.Head, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f.c.mu.Lock()
	f.joining = cancel
	if f.cause != nil {
		cancel()
	}
	f.c.mu.Unlock()
	watcher, head, err := s.Watches.Join(ctx, want, f)
	f.c.mu.Lock()
	f.joining = nil
	f.c.mu.Unlock()
	return watcher, head, err
}

// unanswered is how a watch ends that did not begin.
func (f *fastWatch) unanswered(err error, reason *string) (*Refusal, error) {
	f.c.mu.Lock()
	cause := f.cause
	f.c.mu.Unlock()
	if ended, ok := endReasons[cause]; ok {
		*reason = ended
		if ended == "drain" {
			return refuseDraining, nil
		}
		return nil, errBrokenOff
	}
	*reason = "upstream"
	return f.c.failed(err)
}

// finishWatch waits for the end of the watch, and reports whether the connection
// can serve another request.
func (c *fast) finishWatch() bool {
	f := c.watch
	c.watch = nil
	event, reason, again := f.await()
	c.borrow()
	if reason == "" {
		return again
	}
	sent := int64(0)
	if event != nil {
		if err := c.write(c.snapshot.Load(), event.Chunked); err != nil {
			reason = "client"
		}
		sent = int64(len(event.Body))
	}
	f.finish(reason, sent)
	return reason == "event" && f.alive && !c.lanes.draining.Load()
}

// keep makes the record independent of the memory that the request was read into.
func (r *record) keep() {
	op := &r.op
	op.Target = strings.Clone(op.Target)
	op.Path, _, _ = strings.Cut(op.Target, "?") // which is what it was made of
	if key := op.Path[len(keysPrefix):]; key == string(op.Key) {
		op.Key = acl.Key(key)
	} else {
		op.Key = acl.Key(strings.Clone(string(op.Key)))
	}
	r.userAgent = strings.Clone(r.userAgent)
}
