package proxy

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/share"
)

// fastWatch is a watch in the fast lane. While it waits there is one goroutine,
// which reads, so that it notices when the client leaves; whoever has news for it
// ends that read. Its memory is what an idle connection holds, and this.
type fastWatch struct {
	c       *fast
	watcher *share.Watcher
	running watch
	alive   bool

	// Under c.mu.
	over  bool // the connection reads its next request: leave it alone
	cause error
	full  chan struct{} // set while there is no room to read into
}

// Wake ends the read of a watch that has news.
func (f *fastWatch) Wake() {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if f.over {
		return
	}
	_ = f.c.conn.SetReadDeadline(time.Unix(1, 0))
	if f.full != nil {
		close(f.full)
		f.full = nil
	}
}

// end ends the watch from our side.
func (f *fastWatch) end(cause error) {
	f.c.mu.Lock()
	if f.cause == nil {
		f.cause = cause
	}
	f.c.mu.Unlock()
	f.Wake()
}

func (f *fastWatch) ended() error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return f.cause
}

// startWatch joins a hub and sends the head, which tells the index. The event is
// sent by finishWatch, once there is nothing left to keep of the request.
func (c *fast) startWatch(s *Snapshot, alive bool) (*Refusal, error) {
	c.rec.keep()
	want, ok := c.rec.op.sharedWatch()
	if !ok {
		panic("BUG: a watch in the fast lane that cannot be shared")
	}
	f := &fastWatch{c: c, alive: alive}
	f.running = watch{op: &c.rec.op, peer: c.peer, end: f.end}
	if refusal := c.watches.enter(&f.running); refusal != nil {
		return refusal, nil
	}
	reason := "client"
	defer func() {
		if c.watch == nil {
			c.watches.leave(&f.running, reason)
		}
	}()
	// A reload between the decision and this line did not see the watch.
	if now := c.snapshot.Load(); now != s && !c.gate.Still(now, &c.rec.op, c.peer) {
		reason = "revoked"
		return refuseIdentity, nil
	}
	// Before anybody may end the read.
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	c.idleSince = time.Time{}
	watcher, head, err := s.Watches.Join(context.Background(), want, f)
	if err != nil {
		reason = "upstream"
		return c.failed(err)
	}
	if watcher == nil {
		reason = "refused"
		return nil, c.sendWhole(s, head.Status, head.Fields, head.Body, alive)
	}
	f.watcher = watcher
	c.startHead(head.Status)
	c.fields(head.Fields)
	c.field("Transfer-Encoding", "chunked")
	c.endHead(-1, alive)
	if err := c.write(s, c.out); err != nil {
		watcher.Leave()
		return nil, err
	}
	c.watch = f
	return nil, nil
}

// finishWatch waits, sends the event, and reports whether the connection can serve
// another request.
func (c *fast) finishWatch() bool {
	f := c.watch
	event, reason := f.await()
	c.mu.Lock()
	f.over = true
	c.mu.Unlock()
	c.idleSince = time.Time{} // whatever the deadline is now
	if event != nil {
		if err := c.sendEvent(event); err != nil {
			reason = "client"
		}
	}
	f.watcher.Leave()
	c.watches.leave(&f.running, reason)
	c.watch = nil
	c.metrics.answered(&c.rec.op, c.rec.status, time.Since(c.rec.started))
	c.records.write(&c.rec)
	return reason == "event" && f.alive && !c.lanes.draining.Load()
}

// await waits for the event, and reads on meanwhile.
func (f *fastWatch) await() (event *share.Event, reason string) {
	c := f.c
	for {
		if reason, ok := endReasons[f.ended()]; ok {
			return nil, reason
		}
		if event := f.watcher.Result(); event != nil {
			if event.Err != nil {
				return nil, "upstream"
			}
			return event, "event"
		}
		room := c.first[:]
		if c.scratch != nil {
			room = c.in
		}
		if c.have == len(room) {
			f.sleep()
			continue
		}
		n, err := c.conn.Read(room[c.have:])
		c.have += n
		if n == 0 && err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, "client"
		}
	}
}

// sleep waits without reading: the client has sent more requests behind the watch
// than there is room for.
func (f *fastWatch) sleep() {
	f.c.mu.Lock()
	if f.cause != nil || f.watcher.Result() != nil {
		f.c.mu.Unlock()
		return
	}
	full := make(chan struct{})
	f.full = full
	f.c.mu.Unlock()
	<-full
}

// sendEvent ends the answer to a watch.
func (c *fast) sendEvent(event *share.Event) error {
	if c.scratch == nil {
		c.scratch = scratches.Get().(*scratch)
		copy(c.in, c.first[:c.have])
	}
	c.rec.bytes = int64(len(event.Body))
	c.out = strconv.AppendInt(c.out[:0], int64(len(event.Body)), 16)
	c.out = append(c.out, "\r\n"...)
	c.out = append(c.out, event.Body...)
	c.out = append(c.out, "\r\n0\r\n\r\n"...)
	return c.write(c.snapshot.Load(), c.out)
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
