package fast

import (
	"errors"
	"os"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/share"
)

// wait reads until the watch ends. It returns the event that is still to be sent, or the
// reason why there is none. If both are empty, the hub has sent the event and reported the
// end; again then reports whether the connection can be used for the next request.
func (w *watch) wait() (event *share.Event, reason string, again bool) {
	c := w.c
	gone, late := false, false
	for n := 0; ; {
		c.mu.Lock()
		switch {
		case w.state == flushing:
			c.mu.Unlock()
			w.flush()
			continue
		case w.state.decided() && (n > 0 || gone || w.remaining() <= 0):
			c.idle = false
			again = n > 0 && w.state != failed
			c.mu.Unlock()
			w.reportWritten() // the watch is not counted for its user any more
			c.idleArmed = time.Time{}
			return nil, "", again
		case w.state.decided():
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
		if !w.state.decided() {
			w.state = waiting
			if c.have > 0 {
				w.state = deferred
			}
		}
		if late {
			// The deadline ended a wait that was already over.
			_ = c.tls.SetReadDeadline(time.Now().Add(w.remaining()))
		}
		c.mu.Unlock()
		room := c.receiveRoom()
		if len(room) == 0 {
			gone = true // no client sends so many requests behind a watch
			continue
		}
		var err error
		n, err = lane.ReceiveMore(c.tls, room)
		c.have += n
		late = errors.Is(err, os.ErrDeadlineExceeded)
		gone = n == 0 && err != nil && !late
	}
}

// flush waits until the client has received the rest of its event.
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
	w.writtenAt = time.Now()
	c.idle = true
}

// remaining returns how much longer the client may stay silent; c.mu is held. A client
// that waits for its event may be silent for any time.
func (w *watch) remaining() time.Duration {
	if !w.state.decided() {
		return w.c.IdleTimeout
	}
	if w.state == failed || w.c.closing || w.c.Conns.Draining() {
		return 0
	}
	return time.Until(w.writtenAt.Add(w.c.IdleTimeout))
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
