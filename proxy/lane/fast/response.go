package fast

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/rawio"
)

// send sends etcd's answer.
func (c *conn) send(s *lane.Snapshot, a *lane.Answer, alive bool) error {
	if !a.Whole {
		return c.stream(s, a, alive)
	}
	head, chunked := c.answerHead(a, alive)
	a.Finish()
	c.rec.Bytes = int64(len(a.Body))
	if len(a.Body) == 0 || &a.Body[0] == &c.out[bodyAt] {
		return c.write(s, c.frame(head, len(a.Body), chunked, true))
	}
	return c.writeBehind(s, head, a)
}

// answerHead builds the head of etcd's answer, and reports whether the body must be
// chunked because etcd did not send its length.
func (c *conn) answerHead(a *lane.Answer, alive bool) (head []byte, chunked bool) {
	chunked = a.Length < 0 && c.rec.Op.Method != http.MethodHead && a.Status != http.StatusNoContent && a.Status != http.StatusNotModified
	head = c.startAnswer(a.Status, a.Fields)
	if chunked {
		head = appendField(head, "Transfer-Encoding", "chunked")
	}
	return endHead(head, a.Length, alive), chunked
}

// startHead starts a head at the start of c.out. A head that is longer than the space
// there moves to memory of its own.
func (c *conn) startHead(status int) []byte {
	c.rec.Status = status
	head := append(c.out[:0:bodyAt-len(chunkHead)], "HTTP/1.1 "...)
	head = strconv.AppendInt(head, int64(status), 10)
	head = append(head, ' ')
	head = append(head, http.StatusText(status)...)
	return append(head, "\r\n"...)
}

func appendField(head []byte, name, value string) []byte {
	head = append(head, name...)
	head = append(head, ": "...)
	head = append(head, value...)
	return append(head, "\r\n"...)
}

// startAnswer starts the head of etcd's answer: its fields except those of its connection, and
// the client's name for the request.
func (c *conn) startAnswer(status int, fields []http1.Field) []byte {
	head := c.startHead(status)
	for i := range fields {
		if f := &fields[i]; !lane.ConnectionField(f.Name) {
			head = appendField(head, f.Name, f.Value)
		}
	}
	if c.rec.RequestID != "" {
		head = appendField(head, observe.RequestIDField, c.rec.RequestID)
	}
	return head
}

// endHead ends a head. A length below 0 is left out.
func endHead(head []byte, length int64, alive bool) []byte {
	if length >= 0 {
		head = append(head, "Content-Length: "...)
		head = strconv.AppendInt(head, length, 10)
		head = append(head, "\r\n"...)
	}
	if !alive {
		head = appendField(head, "Connection", "close")
	}
	return append(head, "\r\n"...)
}

// refuse sends an answer of the proxy's own.
func (c *conn) refuse(s *lane.Snapshot, refusal *gate.Refusal, alive bool) error {
	c.rec.Refusal = refusal
	head := c.startHead(refusal.Status)
	refusal.Header(func(name, value string) {
		if name != "Content-Length" && name != "Connection" {
			head = appendField(head, name, value)
		}
	})
	head = append(head, observe.RequestIDField+": "...)
	head = append(c.Exchange.Observer.Records.AppendRequestID(head, &c.rec), "\r\n"...)
	head = appendField(head, "Date", time.Now().UTC().Format(http.TimeFormat))
	head = endHead(head, int64(len(refusal.Body)), alive)
	if c.rec.Op.Method != http.MethodHead {
		head = append(head, refusal.Body...)
		c.rec.Bytes = int64(len(refusal.Body))
	}
	return c.write(s, head)
}

// write sends bytes. If the client does not receive them, the connection is closed when the
// limit is reached or a little earlier.
func (c *conn) write(s *lane.Snapshot, data []byte) error {
	if time.Since(c.writeArmed) > s.Limits.BodyTimeout/deadlineSlack {
		if err := c.armWrite(s.Limits.BodyTimeout); err != nil {
			return err
		}
	}
	// BreakOff sets the deadline behind the mark, so that it cannot be replaced unseen.
	if c.broken.Load() {
		return lane.ErrBrokenOff
	}
	_, err := c.tls.Write(data)
	return err
}

func (c *conn) armWrite(timeout time.Duration) error {
	c.writeArmed = time.Now()
	return c.tls.SetWriteDeadline(c.writeArmed.Add(timeout))
}

// writeBehind sends a head and the body behind it: as much as possible in the same
// record, and the rest with one system call.
func (c *conn) writeBehind(s *lane.Snapshot, head []byte, a *lane.Answer) error {
	body := a.Body
	first := max(0, min(len(body), lane.FullRecord-len(head)))
	record := head
	if len(head) <= bodyAt-len(chunkHead) {
		record = c.out[:len(head)] // the head stands there, without the room for a body
	}
	record = append(record, body[:first]...)
	if first == len(body) {
		return c.write(s, record)
	}
	c.wire.Cork()
	err := c.write(s, record)
	for rest := body[first:]; err == nil && len(rest) > 0; {
		// The timeout applies to each write of this size.
		piece := rest[:min(len(rest), rawio.MaxCorked)]
		rest = rest[len(piece):]
		c.writeArmed = time.Time{}
		err = c.write(s, piece)
		a.Taken()
	}
	if err == nil && len(body)-first > rawio.MaxCorked {
		err = c.armWrite(s.Limits.BodyTimeout) // for the bytes that are still held back
	}
	return errors.Join(err, c.wire.Uncork())
}
