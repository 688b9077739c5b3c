package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// errBrokenOff means that an answer could not be completed after its head was
// out: only the connection's end can tell.
var errBrokenOff = errors.New("the answer was broken off")

// forward carries an operation to etcd and its answer to the client. A refusal is
// to be sent by the caller.
func (c *fast) forward(s *Snapshot, body []byte, alive bool) (*Refusal, error) {
	var turn share.Turn
	if s.Reads != nil && c.rec.op.shareable() {
		var answer *share.Answer
		var err error
		turn, answer, err = s.Reads.Join(context.Background(), c.rec.op.Target)
		if err != nil {
			return c.failed(err)
		}
		if answer != nil {
			defer answer.Release()
			return nil, c.sendWhole(s, answer.Status, answer.Fields, answer.Body, alive)
		}
		defer turn.Done()
	}
	r, req := &c.request, &c.upstream
	*req = upstream.Request{
		Method: c.rec.op.Method, Target: c.rec.op.Target,
		ContentType: r.ContentType, Accept: r.Accept, AcceptEncoding: r.AcceptEncoding, UserAgent: r.UserAgent,
	}
	if c.rec.op.Surface != Keys {
		req.ForwardedFor, req.RealIP = c.peer.address, c.peer.address
	}
	if c.rec.op.hasBody() {
		req.Body = body
	}
	resp, err := s.Upstream.Do(context.Background(), req)
	if err != nil {
		return c.failed(err)
	}
	return c.sendDirect(s, resp, &turn, alive)
}

// failed is what the client hears if etcd did not answer.
func (c *fast) failed(err error) (*Refusal, error) {
	refusal := c.failure(err, &c.rec.op)
	if refusal == nil {
		return nil, errBrokenOff
	}
	return refusal, nil
}

// startHead begins an answer in c.out.
func (c *fast) startHead(status int) {
	c.rec.status = status
	c.out = append(c.out[:0], "HTTP/1.1 "...)
	c.out = strconv.AppendInt(c.out, int64(status), 10)
	c.out = append(c.out, ' ')
	c.out = append(c.out, http.StatusText(status)...)
	c.out = append(c.out, "\r\n"...)
}

func (c *fast) field(name, value string) {
	c.out = append(c.out, name...)
	c.out = append(c.out, ": "...)
	c.out = append(c.out, value...)
	c.out = append(c.out, "\r\n"...)
}

func (c *fast) fields(fields []http1.Field) {
	for i := range fields {
		if f := &fields[i]; !connectionField(f.Name) {
			c.field(f.Name, f.Value)
		}
	}
}

// endHead ends the head; a length below 0 is left out.
func (c *fast) endHead(length int64, alive bool) {
	if length >= 0 {
		c.out = append(c.out, "Content-Length: "...)
		c.out = strconv.AppendInt(c.out, length, 10)
		c.out = append(c.out, "\r\n"...)
	}
	if !alive {
		c.field("Connection", "close")
	}
	c.out = append(c.out, "\r\n"...)
}

// write sends bytes. A client that does not take them is cut, at the latest after
// the limit and at the earliest shortly before.
func (c *fast) write(s *Snapshot, data []byte) error {
	if now := time.Now(); now.Sub(c.written) > s.Limits.BodyTimeout/rearm {
		if err := c.conn.SetWriteDeadline(now.Add(s.Limits.BodyTimeout)); err != nil {
			return err
		}
		c.written = now
	}
	_, err := c.conn.Write(data)
	return err
}

// refuse sends an answer of our own.
func (c *fast) refuse(s *Snapshot, refusal *Refusal, alive bool) error {
	c.rec.refusal = refusal
	c.startHead(refusal.Status)
	refusal.Header(func(name, value string) {
		if name != "Content-Length" && name != "Connection" {
			c.field(name, value)
		}
	})
	c.field("Date", time.Now().UTC().Format(http.TimeFormat))
	c.endHead(int64(len(refusal.Body)), alive)
	if c.rec.op.Method != http.MethodHead {
		c.out = append(c.out, refusal.Body...)
		c.rec.bytes = int64(len(refusal.Body))
	}
	return c.write(s, c.out)
}

// sendWhole sends an answer of etcd's that is here completely.
func (c *fast) sendWhole(s *Snapshot, status int, fields []http1.Field, body []byte, alive bool) error {
	c.startHead(status)
	c.fields(fields)
	c.endHead(int64(len(body)), alive)
	c.rec.bytes = int64(len(body))
	return c.writeBehind(s, body)
}

// writeBehind writes c.out and what comes behind it: as much as possible in the
// same record, and the rest with one system call.
func (c *fast) writeBehind(s *Snapshot, body []byte) error {
	some := max(0, min(len(body), fullRecord-len(c.out)))
	c.out = append(c.out, body[:some]...)
	if some == len(body) {
		return c.write(s, c.out)
	}
	c.wire.cork()
	err := c.write(s, c.out)
	if err == nil {
		err = c.write(s, body[some:])
	}
	return errors.Join(err, c.wire.uncork())
}

// fullRecord is what one TLS record holds.
const fullRecord = 16 << 10

// sendDirect sends etcd's answer as it comes. Others wait for the end of turn, not
// for this client, and etcd for neither, once all of the answer is here.
func (c *fast) sendDirect(s *Snapshot, resp *upstream.Response, turn *share.Turn, alive bool) (*Refusal, error) {
	chunked := resp.Length < 0 && c.rec.op.Method != http.MethodHead && resp.Status != http.StatusNoContent && resp.Status != http.StatusNotModified
	c.startHead(resp.Status)
	c.fields(resp.Fields)
	if chunked {
		c.field("Transfer-Encoding", "chunked")
	}
	c.endHead(resp.Length, alive)
	open := true
	defer func() {
		if open { // once: the response is another request's then
			resp.Close()
		}
	}()
	sent := false
	began := time.Now()
	for {
		mark := len(c.out)
		if chunked {
			c.out = append(c.out, chunkHead...)
		}
		start := len(c.out)
		if cap(c.out) < start+fullRecord/2 { // etcd's head is large
			c.out = append(make([]byte, 0, start+fullRecord), c.out...)
		}
		space := min(cap(c.out), max(fullRecord, start+fullRecord/2)) - start - len(chunkTail)
		n, err := readFull(resp, c.out[start:start+space])
		if err != nil && err != io.EOF {
			if !sent {
				return c.failed(err) // nothing is out: an error the client understands
			}
			return nil, errBrokenOff
		}
		turn.Done()
		if err == io.EOF {
			resp.Close()
			open = false
		}
		c.out = c.out[:start+n]
		c.rec.bytes += int64(n)
		if chunked {
			c.closeChunk(mark, n, err == io.EOF)
		}
		if err := c.write(s, c.out); err != nil {
			return nil, err
		}
		if err == io.EOF {
			if sent {
				c.written = time.Time{} // the deadline was this answer's
			}
			return nil, nil
		}
		c.out, sent = c.out[:0], true
		// While etcd has more to say, the client must keep up.
		c.written = time.Now()
		if err := c.conn.SetWriteDeadline(s.Limits.bodyDeadline(began, c.rec.bytes)); err != nil {
			return nil, err
		}
	}
}

// chunkHead has room for the size of any chunk that fits the buffer.
const (
	chunkHead = "0000\r\n"
	chunkTail = "\r\n0\r\n\r\n"
)

// closeChunk writes the size of the chunk that begins at mark and holds n bytes,
// and what ends it. An empty chunk would end the body, so none is written.
func (c *fast) closeChunk(mark, n int, last bool) {
	if n == 0 {
		c.out = c.out[:mark]
	} else {
		const hex = "0123456789abcdef"
		for i := range 4 {
			c.out[mark+i] = hex[n>>(12-4*i)&15]
		}
		c.out = append(c.out, "\r\n"...)
	}
	if last {
		c.out = append(c.out, chunkTail[2:]...)
	}
}
