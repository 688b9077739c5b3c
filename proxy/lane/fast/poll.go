package fast

import (
	"context"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/share"
)

// startWatch joins a shared watch and sends the head, which contains the index. finishWatch
// sends the event later; the memory of the request is not needed then.
func (c *conn) startWatch(s *lane.Snapshot, alive bool) (*gate.Refusal, error) {
	c.rec.Keep()
	w := &watch{c: c, alive: alive, rec: c.rec}
	w.running = lane.Watch{Op: &w.rec.Op, Peer: c.peer, End: w.end}
	if refusal := c.Exchange.StartWatch(s, &w.running); refusal != nil {
		c.idleArmed = time.Time{} // a reload may have ended the watch, and the read with it
		return refusal, nil
	}
	end := lane.End{Reason: "client"}
	defer func() {
		if c.watch == nil { // it did not start, or a bug caused a panic
			c.Exchange.Watches.Release(&w.running, end.Reason)
			c.idleArmed = time.Time{} // the watch may have set another read deadline
		}
	}()
	watcher, head, joined := w.join(s)
	if watcher == nil {
		end = joined
		if head != nil {
			answer := lane.Answer{Status: head.Status, Fields: head.Fields, Length: int64(len(head.Body)), Body: head.Body, Whole: true}
			end.Err = c.send(s, &answer, alive)
		}
		return end.Refusal, end.Err
	}
	text := appendField(c.startAnswer(head.Status, head.Fields), "Transfer-Encoding", "chunked")
	if err := c.write(s, endHead(text, -1, alive)); err != nil {
		watcher.Close()
		return nil, err
	}
	w.rec.Status, w.rec.Shared = c.rec.Status, true
	w.watcher = watcher
	c.setWatch(w)
	return nil, nil
}

func (c *conn) setWatch(w *watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = w
}

// join waits for the head. What ends the watch ends this wait, too.
func (w *watch) join(s *lane.Snapshot) (*share.Watcher, *share.Head, lane.End) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	w.c.mu.Lock()
	w.joining = cancel
	if w.cause != nil {
		cancel(w.cause)
	}
	w.c.mu.Unlock()
	watcher, head, end := w.c.Exchange.Join(ctx, s, &w.running, w)
	w.c.mu.Lock()
	w.joining = nil
	w.c.mu.Unlock()
	return watcher, head, end
}

// finishWatch waits for the end of the watch, and reports whether the connection can
// serve another request.
func (c *conn) finishWatch() bool {
	w := c.watch
	defer c.setWatch(nil)
	event, reason, again := w.wait()
	c.getBuffers()
	if reason == "" {
		return again
	}
	sent := int64(0)
	if event != nil {
		if err := c.write(c.Exchange.Current.Load(), event.Chunked); err != nil {
			reason = "client"
		}
		sent = int64(len(event.Body))
	}
	w.report(reason, sent, time.Now())
	return reason == "event" && w.alive && !c.Conns.Draining()
}
