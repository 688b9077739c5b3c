package fast

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/share"
)

// watch is a watch in the fast lane.
//
// While a watch waits it has one goroutine, which reads from the connection so that it
// notices when the client leaves. The hub's goroutine writes the event itself where it
// can: for thousands of watchers that is much less work than waking their goroutines.
// Where it cannot, or where the client does not take all of the event at once, it ends
// the read, and the watch's own goroutine continues.
//
//	from      event                                        to
//	starting  the head is sent, own goroutine reads        waiting
//	waiting   bytes of the next request arrive             deferred
//	waiting   hub writes the event                         done
//	waiting   hub writes a part of the event               flushing
//	waiting   hub cannot write the event                   failed
//	flushing  own goroutine writes the rest                done or failed
//	starting, waiting, deferred
//	          own goroutine ends the watch                 done
//
// In the states from flushing on the event is decided, and the connection is between two
// requests.
type watch struct {
	c       *conn
	watcher *share.Watcher
	running lane.Watch
	rec     observe.Record // the connection's own record is for its next request
	alive   bool
	written *share.Event // the event that Notify has written

	// Under c.mu.
	state   watchState
	since   time.Time // when the event was written
	cause   error     // why the watch was ended from outside
	joining context.CancelCauseFunc

	pendingReport sync.WaitGroup // held from Notify to the end of AfterNotify
}

type watchState int

const (
	starting watchState = iota
	waiting
	deferred // only the watch's own goroutine may write the event
	flushing
	done
	failed // the client did not take the event
)

// over reports whether the event is decided.
func (s watchState) over() bool { return s >= flushing }

// Notify implements [share.Notifier].
func (w *watch) Notify() {
	defer w.c.recoverPanic() // a bug here would end all hubs
	w.written = w.write()
}

// AfterNotify implements [share.Notifier]. It reports the event that Notify has written.
func (w *watch) AfterNotify() {
	defer w.c.recoverPanic()
	if w.written != nil {
		defer w.pendingReport.Done()
		w.report("event", int64(len(w.written.Body)))
	}
}

// write writes the event and returns it, or lets the watch's own goroutine do so.
func (w *watch) write() *share.Event {
	c := w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.state.over() {
		return nil
	}
	event := w.writable()
	if event == nil {
		w.interrupt()
		return nil
	}
	begun, all, err := c.wire.TryWrite(func() error {
		w.state = done
		_, err := c.tls.Write(event.Chunked)
		return err
	})
	switch {
	case !begun:
		w.interrupt()
		return nil
	case err != nil:
		w.state = failed
	case !all:
		w.state = flushing
	}
	w.pendingReport.Add(1)
	w.since = time.Now()
	c.idle, c.served = w.state != flushing, true // as in waitForRequest
	if w.state != done || c.closing || c.Conns.Draining() {
		w.interrupt()
	}
	return event
}

// maxHubWrite is the largest event that the hub's goroutine encrypts for all watchers.
const maxHubWrite = 4 << 10

// writable returns the event if the hub may write it; c.mu is held. The connection must go
// on after it.
func (w *watch) writable() *share.Event {
	if w.state != waiting || !w.alive || w.cause != nil || w.c.Conns.Draining() {
		return nil
	}
	event := w.watcher.Result()
	if event == nil || event.Err != nil || len(event.Body) > maxHubWrite {
		return nil
	}
	return event
}

// interrupt ends the read of the watch's own goroutine; c.mu is held.
func (w *watch) interrupt() { _ = w.c.tls.SetReadDeadline(time.Unix(1, 0)) }

// end ends the watch from outside; see [lane.Watch].
func (w *watch) end(cause error) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if w.state.over() || w.cause != nil {
		return
	}
	w.cause = cause
	w.interrupt()
	if w.joining != nil {
		w.joining(cause)
	}
}

// report releases the watch and records its end.
func (w *watch) report(reason string, bytes int64) {
	x := w.c.Exchange
	w.watcher.Close()
	x.Watches.Release(&w.running, reason)
	w.rec.Bytes = bytes
	x.Observer.Answered(&w.rec)
}

// await reads until the watch ends. It returns the event that is still to be sent, or the
// reason why there is none. Without a reason the hub has sent the event and reported the
// end; again tells whether the connection can be used for the next request.
func (w *watch) await() (event *share.Event, reason string, again bool) {
	c := w.c
	gone, late := false, false
	for n := 0; ; {
		c.mu.Lock()
		switch {
		case w.state == flushing:
			c.mu.Unlock()
			w.flush()
			continue
		case w.state.over() && (n > 0 || gone || w.remaining() <= 0):
			c.idle = false
			again = n > 0 && w.state != failed
			c.mu.Unlock()
			w.pendingReport.Wait() // the watch does not count for its user any more
			c.idleArmed = time.Time{}
			return nil, "", again
		case w.state.over():
		case w.cause != nil:
			reason = lane.CauseReason(w.cause)
		case gone:
			reason = "client"
		default:
			event, reason = w.result()
		}
		if reason != "" {
			w.state = done
			c.mu.Unlock()
			c.idleArmed = time.Time{} // the read deadline can be any
			return event, reason, false
		}
		if !w.state.over() {
			w.state = waiting
			if c.have > 0 {
				w.state = deferred
			}
		}
		if late {
			// The deadline ended a wait that was over before.
			_ = c.tls.SetReadDeadline(time.Now().Add(w.remaining()))
		}
		c.mu.Unlock()
		room := c.receiveRoom()
		if len(room) == 0 {
			gone = true // no client sends so many requests behind a watch
			continue
		}
		var err error
		n, err = c.tls.Read(room)
		c.have += n
		late = errors.Is(err, os.ErrDeadlineExceeded)
		gone = n == 0 && err != nil && !late
	}
}

// flush waits until the client has taken the rest of its event.
func (w *watch) flush() {
	c := w.c
	err := c.armWrite(c.currentLimits().BodyTimeout)
	if err == nil {
		err = c.wire.Uncork()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	w.state = done
	if err != nil {
		w.state = failed
	}
	w.since = time.Now()
	c.idle = true
}

// remaining returns how much longer the client may stay silent; c.mu is held. A client
// that waits for its event may be silent for any time.
func (w *watch) remaining() time.Duration {
	if !w.state.over() {
		return w.c.IdleTimeout
	}
	if w.state == failed || w.c.closing || w.c.Conns.Draining() {
		return 0
	}
	return time.Until(w.since.Add(w.c.IdleTimeout))
}

// result returns the watcher's result, if there is one.
func (w *watch) result() (*share.Event, string) {
	switch event := w.watcher.Result(); {
	case event == nil:
		return nil, ""
	case event.Err != nil:
		return nil, "upstream"
	default:
		return event, "event"
	}
}

// receiveRoom returns the memory for requests that arrive behind the watch.
func (c *conn) receiveRoom() []byte {
	if c.have == len(c.first) {
		c.getBuffers()
	}
	if c.buffers != nil {
		return c.in[c.have:]
	}
	return c.first[c.have:]
}
