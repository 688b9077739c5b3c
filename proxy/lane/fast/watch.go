package fast

import (
	"context"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/share"
)

// watch is a watch in the fast lane.
//
// While a watch waits it has one goroutine, which reads from the connection so that it
// notices when the client leaves. The hub's goroutine writes the event itself where it can:
// for thousands of watchers that is much less work than waking their goroutines. If it
// cannot, or if the socket does not accept all of the event at once, it ends the read, and
// the watch's own goroutine continues.
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
// From the state flushing on, the outcome of the watch is decided, and the connection is
// between two requests.
type watch struct {
	c       *conn
	watcher *share.Watcher
	running lane.Watch
	rec     observe.Record // the connection's own record is for its next request
	alive   bool
	written *share.Event // the event that Notify has written

	// Under c.mu.
	state     watchState
	writtenAt time.Time // when the event was written
	cause     error     // why the watch was ended from outside
	joining   context.CancelCauseFunc

	reported sync.Once // what Notify has written
}

type watchState int

const (
	starting watchState = iota
	waiting
	deferred // only the watch's own goroutine may write the event
	flushing
	done
	failed // the client did not receive the event
)

// decided reports whether the outcome of the watch is decided.
func (s watchState) decided() bool { return s >= flushing }

// Notify implements [share.Notifier].
func (w *watch) Notify() {
	defer w.c.recoverPanic() // a bug here would end all hubs
	w.write()
}

// AfterNotify implements [share.Notifier]. It reports the event that Notify has written.
func (w *watch) AfterNotify() {
	defer w.c.recoverPanic()
	if w.written != nil {
		w.reportWritten()
	}
}

// reportWritten reports the event that Notify has written, once. The watch's own goroutine does so if the
// client goes on before all others were notified.
func (w *watch) reportWritten() {
	w.reported.Do(func() {
		w.c.mu.Lock()
		at := w.writtenAt
		w.c.mu.Unlock()
		w.report("event", int64(len(w.written.Body)), at)
	})
}

// BreakOff implements [share.Notifier].
func (w *watch) BreakOff() { w.c.BreakOff() }

// write writes the event, or lets the watch's own goroutine do so.
func (w *watch) write() {
	c := w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.state.decided() {
		return
	}
	event := w.writable()
	if event == nil {
		w.interrupt()
		return
	}
	begun, all, err := c.wire.TryWrite(func() error {
		w.state, w.written = done, event
		_, err := c.tls.Write(event.Chunked)
		return err
	})
	switch {
	case !begun:
		w.interrupt()
		return
	case err != nil:
		w.state = failed
	case !all:
		w.state = flushing
	}
	w.writtenAt = time.Now()
	c.idle, c.served = w.state != flushing, true // as in waitForRequest
	if w.state != done || c.closing || c.Conns.Draining() {
		w.interrupt()
	}
}

// maxHubWrite is the largest event that the hub's goroutine encrypts for all watchers.
const maxHubWrite = 4 << 10

// writable returns the event if the hub may write it; c.mu is held. The connection must be
// usable afterwards.
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
	w.endLocked(cause)
}

// endLocked is end for a caller that holds c.mu.
func (w *watch) endLocked(cause error) {
	if w.state.decided() || w.cause != nil {
		return
	}
	w.cause = cause
	w.interrupt()
	if w.joining != nil {
		w.joining(cause)
	}
}

// report releases the watch and records its end. Its client had the event at a time.
func (w *watch) report(reason string, bytes int64, at time.Time) {
	x := w.c.Exchange
	w.watcher.CloseAt(at)
	x.Watches.Release(&w.running, reason)
	w.rec.Bytes = bytes
	x.Observer.Answered(&w.rec)
}
