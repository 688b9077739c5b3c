package proxy

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/share"
)

// fastWatch is a watch in the fast lane. While it waits there is one goroutine,
// which reads, so that it notices when the client leaves. The event is written by
// the hub's goroutine, which for thousands of watchers is much less work than to
// wake theirs; where it cannot, or the client does not take all of it at once, it ends
// the read, and the watch's own goroutine goes on.
type fastWatch struct {
	c       *fast
	watcher *share.Watcher
	running watch
	rec     record // the connection's own is for its next request
	alive   bool
	told    *share.Event // that Wake has written

	// Under c.mu.
	waiting bool      // the head is out, and nothing came behind the request
	over    bool      // the connection is between requests, or at its next one
	behind  bool      // a part of the event is held back
	failed  bool      // the client did not take the event
	since   time.Time // when it was over
	cause   error
	joining context.CancelFunc // set while the watch is about to begin

	noted sync.WaitGroup // what is to be noted of its end
}

// Wake is told that there is news.
func (f *fastWatch) Wake() {
	defer f.c.survive() // a mistake here would end all hubs
	f.told = f.write()
}

// Woken takes note of the event that was written.
func (f *fastWatch) Woken() {
	defer f.c.survive()
	if f.told != nil {
		defer f.noted.Done()
		f.finish("event", int64(len(f.told.Body)))
	}
}

// write writes the event, and returns it, or lets the watch's own goroutine do so.
func (f *fastWatch) write() *share.Event {
	c := f.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.over {
		return nil
	}
	event := f.writable()
	if event == nil {
		f.interrupt()
		return nil
	}
	begun, all, err := c.wire.attempt(func() error {
		f.over = true
		_, err := c.conn.Write(event.Chunked)
		return err
	})
	if !begun {
		f.interrupt()
		return nil
	}
	f.behind, f.failed = !all, err != nil
	f.noted.Add(1)
	f.since = time.Now()
	c.silent, c.asked = all, true // as in wait, which is where the goroutine would be now
	if f.failed || f.behind || c.ending || c.lanes.draining.Load() {
		f.interrupt()
	}
	return event
}

// mostAtOnce is the largest event that one goroutine encrypts for all.
const mostAtOnce = 4 << 10

// writable is the event, if it is one to be written here and the connection goes on
// after it; c.mu is held.
func (f *fastWatch) writable() *share.Event {
	if !f.waiting || !f.alive || f.cause != nil || f.c.lanes.draining.Load() {
		return nil
	}
	event := f.watcher.Result()
	if event == nil || event.Err != nil || len(event.Body) > mostAtOnce {
		return nil
	}
	return event
}

// interrupt ends the read; c.mu is held.
func (f *fastWatch) interrupt() {
	_ = f.c.conn.SetReadDeadline(time.Unix(1, 0))
	if f.joining != nil {
		f.joining()
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
	c.answered(&f.rec)
}

// await reads until the watch is over, and returns the event to be sent, or why
// there is none. Without a reason it is over already, and the connection may serve
// again.
func (f *fastWatch) await() (event *share.Event, reason string, again bool) {
	c := f.c
	gone, late := false, false
	for n := 0; ; {
		c.mu.Lock()
		if f.behind {
			c.mu.Unlock()
			f.catchUp()
			continue
		}
		f.waiting = c.have == 0
		switch {
		case f.over && (n > 0 || gone || f.idle() <= 0):
			c.silent = false
			c.mu.Unlock()
			f.noted.Wait() // its share of the limits is free again
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
		room := c.room()
		if len(room) == 0 {
			gone = true // more requests behind a watch than anyone sends; none is lost unseen
			continue
		}
		var err error
		n, err = c.conn.Read(room)
		c.have += n
		late = errors.Is(err, os.ErrDeadlineExceeded)
		gone = n == 0 && err != nil && !late
	}
}

// catchUp waits until the client takes what is held back of its event.
func (f *fastWatch) catchUp() {
	c := f.c
	err := c.armWrite(c.currentLimits().BodyTimeout)
	if err == nil {
		err = c.wire.uncork()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f.behind, f.failed = false, f.failed || err != nil
	f.since = time.Now()
	c.silent = true
}

// idle is how much longer the client may be silent. While it waits for its event
// there is no limit; c.mu is held.
func (f *fastWatch) idle() time.Duration {
	if !f.over {
		return f.c.options.IdleTimeout
	}
	if f.failed || f.c.ending || f.c.lanes.draining.Load() {
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

// room is where requests behind the watch are received.
func (c *fast) room() []byte {
	if c.have == len(c.first) {
		c.borrow()
	}
	if c.scratch != nil {
		return c.in[c.have:]
	}
	return c.first[c.have:]
}
