package proxy

import (
	"errors"
	"os"
	"time"

	"etcd-tlsproxy/proxy/share"
)

// fastWatch is a watch in the fast lane. While it waits there is one goroutine,
// which reads, so that it notices when the client leaves. The event is written by
// the hub's goroutine, which for thousands of watchers is much less work than to
// wake theirs; where that could block it ends the read, and the watch's own
// goroutine goes on.
type fastWatch struct {
	c       *fast
	watcher *share.Watcher
	running watch
	rec     record // the connection's own is for its next request
	alive   bool

	// Under c.mu.
	waiting bool      // the head is out, and nothing came behind the request
	over    bool      // the connection is between requests, or at its next one
	since   time.Time // when it was over
	failed  bool      // the client did not take the event
	cause   error
	full    chan struct{} // set while there is no room to read into
}

// Wake is told that there is news.
func (f *fastWatch) Wake() {
	c := f.c
	c.mu.Lock()
	if f.over {
		c.mu.Unlock()
		return
	}
	event := f.writable()
	if event == nil {
		f.interrupt()
		c.mu.Unlock()
		return
	}
	f.over = true
	f.failed = c.writeEvent(event) != nil
	f.since = time.Now()
	c.silent = true // as in wait, which is where the goroutine would be now
	if f.failed || c.lanes.draining.Load() {
		f.interrupt()
	}
	c.mu.Unlock()
	// Not under the lock, which is taken by who ends watches.
	f.finish("event", int64(len(event.Body)))
}

// mostAtOnce is what the kernel takes of a connection that has nothing to send.
const mostAtOnce = 4 << 10

// writable is the event, if it can be written without waiting and the connection
// goes on after it; c.mu is held.
func (f *fastWatch) writable() *share.Event {
	if !f.waiting || !f.alive || f.cause != nil || f.c.lanes.draining.Load() {
		return nil
	}
	event := f.watcher.Result()
	if event == nil || event.Err != nil || len(event.Body) > mostAtOnce || !f.c.wire.drained() {
		return nil
	}
	return event
}

// interrupt ends the read; c.mu is held.
func (f *fastWatch) interrupt() {
	_ = f.c.conn.SetReadDeadline(time.Unix(1, 0))
	if f.full != nil {
		close(f.full)
		f.full = nil
	}
}

// end ends the watch from our side.
func (f *fastWatch) end(cause error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if !f.over && f.cause == nil {
		f.cause = cause
		f.interrupt()
	}
}

// finish takes note of the end.
func (f *fastWatch) finish(reason string, bytes int64) {
	c := f.c
	f.watcher.Leave()
	c.watches.leave(&f.running, reason)
	f.rec.bytes = bytes
	c.metrics.answered(&f.rec.op, f.rec.status, time.Since(f.rec.started))
	c.records.write(&f.rec)
}

// await reads until the watch is over, and returns the event to be sent, or why
// there is none. Without a reason it is over already, and the connection may serve
// again.
func (f *fastWatch) await() (event *share.Event, reason string, again bool) {
	c := f.c
	gone, late := false, false
	for n := 0; ; {
		c.mu.Lock()
		f.waiting = c.have == 0
		switch {
		case f.over && (n > 0 || gone || f.idle() <= 0):
			c.silent = false
			c.mu.Unlock()
			c.idleSince = time.Time{}
			return nil, "", n > 0 && !f.failed
		case f.over:
		case f.cause != nil:
			reason = endReasons[f.cause]
		case gone:
			reason = "client"
		default:
			event, reason = f.news()
		}
		if reason != "" {
			f.over = true
			c.mu.Unlock()
			c.idleSince = time.Time{} // whatever the deadline is now
			return event, reason, false
		}
		if late {
			// It was meant for a silence that ended long ago.
			_ = c.conn.SetReadDeadline(time.Now().Add(f.idle()))
		}
		c.mu.Unlock()
		room := c.first[:]
		if c.scratch != nil {
			room = c.in
		}
		if c.have == len(room) {
			f.sleep()
			continue
		}
		var err error
		n, err = c.conn.Read(room[c.have:])
		c.have += n
		late = errors.Is(err, os.ErrDeadlineExceeded)
		gone = n == 0 && err != nil && !late
	}
}

// idle is how much longer the client may be silent. While it waits for its event
// there is no limit; c.mu is held.
func (f *fastWatch) idle() time.Duration {
	if !f.over {
		return f.c.options.IdleTimeout
	}
	if f.failed || f.c.lanes.draining.Load() {
		return 0
	}
	return time.Until(f.since.Add(f.c.options.IdleTimeout))
}

// news is the watcher's result, if there is one.
func (f *fastWatch) news() (*share.Event, string) {
	switch event := f.watcher.Result(); {
	case event == nil:
		return nil, ""
	case event.Err != nil:
		return nil, "upstream"
	default:
		return event, "event"
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
