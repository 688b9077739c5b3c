package fast

import (
	"io"
	"time"

	"etcd-tlsproxy/proxy/lane"
)

// stream sends an answer at the pace of the client.
func (c *conn) stream(s *lane.Snapshot, a *lane.Answer, alive bool) error {
	head, chunked := c.answerHead(a, alive)
	pace := s.Limits.NewPace()
	for last := false; !last; head = nil {
		n, err := a.ReadFull(c.bodyBuffer())
		if err != nil && err != io.EOF { //nolint:errorlint // never wrapped: Read returns io.EOF itself at the end, and an *upstream.Error otherwise
			return lane.ErrBrokenOff
		}
		// The client must keep up while etcd has more to send.
		c.writeArmed = time.Now()
		if err := c.tls.SetWriteDeadline(pace.Begin()); err != nil {
			return err
		}
		last = err == io.EOF //nolint:errorlint // never wrapped: see above
		c.rec.Bytes += int64(n)
		if err := c.write(s, c.frame(head, n, chunked, last)); err != nil {
			return err
		}
		pace.End(n)
	}
	c.writeArmed = time.Time{} // the deadline was this answer's
	return nil
}

const (
	// chunkHead has room for the size of any chunk that fits into bodyBuffer.
	chunkHead = "0000\r\n"
	chunkTail = "\r\n0\r\n\r\n"
)

// frame puts a head, or none, before the n bytes that are in bodyBuffer, and what the
// chunked framing needs around them. An empty chunk would end the body, so it is left out.
func (c *conn) frame(head []byte, n int, chunked, last bool) []byte {
	start, end := bodyAt, bodyAt+n
	if chunked && n > 0 {
		start -= len(chunkHead)
		copy(c.out[start:], chunkHead)
		const hex = "0123456789abcdef"
		for i := range 4 {
			c.out[start+i] = hex[n>>(12-4*i)&15]
		}
		end += copy(c.out[end:], "\r\n")
	}
	if chunked && last {
		end += copy(c.out[end:], chunkTail[2:])
	}
	if len(head) > bodyAt-len(chunkHead) {
		return append(head, c.out[start:end]...) // the head has memory of its own
	}
	start -= copy(c.out[start-len(head):], head)
	return c.out[start:end]
}
