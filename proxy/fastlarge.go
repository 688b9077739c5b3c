package proxy

import (
	"bytes"
	"io"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// sendLarge sends an answer that does not fit into one write, of which first was
// received. If it is not too large it is received whole before the client takes it, and
// finish gives the connection to etcd back: one that is slow to take its answer would
// keep others from theirs.
func (c *fast) sendLarge(s *Snapshot, resp *upstream.Response, first []byte, alive bool, finish func()) (*Refusal, error) {
	ahead, err := resp.ReadAhead(first)
	if err != nil && err != io.EOF {
		return c.failed(err)
	}
	free := sync.OnceFunc(ahead.Free)
	defer free()
	if err == nil {
		return nil, c.stream(s, resp, io.MultiReader(bytes.NewReader(ahead.Bytes), atEnd(free)), alive)
	}
	c.startHead(resp.Status)
	c.fields(resp.Fields)
	finish()
	c.endHead(int64(len(ahead.Bytes)), alive)
	c.rec.bytes = int64(len(ahead.Bytes))
	return nil, c.writeBehind(s, ahead.Bytes)
}

// atEnd is called when a reader gets to it, and holds nothing itself.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// stream sends an answer as the client takes it; ahead was received.
func (c *fast) stream(s *Snapshot, resp *upstream.Response, ahead io.Reader, alive bool) error {
	chunked := c.directHead(resp, alive)
	began := time.Now()
	for body, last := io.MultiReader(ahead, resp), false; !last; {
		mark := len(c.out)
		if chunked {
			c.out = append(c.out, chunkHead...)
		}
		n, err := c.fill(body)
		if err != nil && err != io.EOF {
			return errBrokenOff
		}
		// While etcd has more to say, the client must keep up.
		c.written = time.Now()
		if err := c.conn.SetWriteDeadline(s.Limits.bodyDeadline(began, c.rec.bytes)); err != nil {
			return err
		}
		last = err == io.EOF
		c.rec.bytes += int64(n)
		if chunked {
			c.closeChunk(mark, n, last)
		}
		if err := c.write(s, c.out); err != nil {
			return err
		}
		c.out = c.out[:0]
	}
	c.written = time.Time{} // the deadline was this answer's
	return nil
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
