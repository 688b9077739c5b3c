package proxy

import (
	"bytes"
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
	if time.Since(c.written) > s.Limits.BodyTimeout/rearm {
		if err := c.armWrite(s.Limits.BodyTimeout); err != nil {
			return err
		}
	}
	_, err := c.conn.Write(data)
	return err
}

func (c *fast) armWrite(timeout time.Duration) error {
	c.written = time.Now()
	return c.conn.SetWriteDeadline(c.written.Add(timeout))
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
	for rest := body[some:]; err == nil && len(rest) > 0; {
		// The limit on the time that a write may take is for this much.
		piece := rest[:min(len(rest), mostCorked)]
		rest = rest[len(piece):]
		c.written = time.Time{}
		err = c.write(s, piece)
	}
	if err == nil && len(body)-some > mostCorked {
		err = c.armWrite(s.Limits.BodyTimeout) // for what is held back
	}
	return errors.Join(err, c.wire.uncork())
}

// fullRecord is what one TLS record holds.
const fullRecord = 16 << 10

// sendDirect sends etcd's answer. Others wait for the end of turn, not for this client,
// and etcd for neither, once all of the answer is here.
func (c *fast) sendDirect(s *Snapshot, resp *upstream.Response, turn *share.Turn, alive bool) (*Refusal, error) {
	open := true
	finish := func() {
		if open { // the response is another request's then; sync.OnceFunc would allocate
			open = false
			resp.Close()
		}
	}
	defer finish()
	chunked := c.directHead(resp, alive)
	mark := len(c.out)
	if chunked {
		c.out = append(c.out, chunkHead...)
	}
	n, err := c.fill(resp)
	if err != nil && err != io.EOF {
		return c.failed(err) // nothing is out: an error the client understands
	}
	turn.Done()
	if err == nil && !c.rec.op.receivedWhole() {
		return nil, c.stream(s, resp, bytes.NewReader(append([]byte(nil), c.out[len(c.out)-n:]...)), alive)
	}
	if err == nil {
		return c.sendLarge(s, resp, c.out[len(c.out)-n:], alive, finish)
	}
	finish()
	c.rec.bytes = int64(n)
	if chunked {
		c.closeChunk(mark, n, true)
	}
	return nil, c.write(s, c.out)
}

// directHead makes the head of an answer in c.out whose body comes from etcd, and reports
// whether only chunks can tell that body's end.
func (c *fast) directHead(resp *upstream.Response, alive bool) (chunked bool) {
	chunked = resp.Length < 0 && c.rec.op.Method != http.MethodHead && resp.Status != http.StatusNoContent && resp.Status != http.StatusNotModified
	c.startHead(resp.Status)
	c.fields(resp.Fields)
	if chunked {
		c.field("Transfer-Encoding", "chunked")
	}
	c.endHead(resp.Length, alive)
	return chunked
}

// fill reads as much behind c.out as one write should have.
func (c *fast) fill(body io.Reader) (n int, err error) {
	start := len(c.out)
	if cap(c.out) < start+fullRecord/2 { // etcd's head is large
		c.out = append(make([]byte, 0, start+fullRecord), c.out...)
	}
	space := min(cap(c.out), max(fullRecord, start+fullRecord/2)) - start - len(chunkTail)
	n, err = readFull(body, c.out[start:start+space])
	c.out = c.out[:start+n]
	return n, err
}
