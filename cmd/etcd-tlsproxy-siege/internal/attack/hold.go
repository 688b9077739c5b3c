package attack

import (
	"bytes"
	"context"
	"io"
	"time"

	"golang.org/x/net/http2"
)

// holding describes connections that are opened and then held.
type holding struct {
	connections int
	receive     int // see dialOptions
	// first returns what connection i sends after its handshake. The server may not take
	// all of it.
	first func(i int) []byte
	// reads makes the attackers read what comes. On HTTP/2 they answer PINGs then, so that
	// only what they ask for is missing.
	reads bool
	// again returns the request that replaces a stream of HTTP/2 that the server has
	// reset, on connection i. It is used by attackers that reconnect.
	again func(i int) *request
	// streams is how many streams of HTTP/2 are in first.
	streams int
	// unfinished says whether connection i has sent half of something, of which a byte
	// follows at each beat. It sends and reads nothing else.
	unfinished func(i int) bool
}

func (h *holding) trickles(i int) bool { return h.unfinished != nil && h.unfinished(i) }

// beat is the interval at which held connections are looked after.
const beat = 200 * time.Millisecond

// firstTimeout is how long the server can take to accept the first bytes. A server that
// does not read is what some attacks want.
const firstTimeout = 2 * time.Second

// hold opens the connections, calls ready, and holds them until ctx ends.
func (c *crew) hold(ctx context.Context, h *holding, ready func()) error {
	held := make([]*conn, h.connections)
	open := func(i int) error {
		k, err := c.dial(ctx, i, dialOptions{receive: h.receive})
		if err != nil {
			return err
		}
		held[i] = k
		_ = k.SetWriteDeadline(time.Now().Add(firstTimeout))
		if h.first != nil {
			_, _ = k.Write(h.first(i)) // a connection that was cut is found below
		}
		if h.reads && !h.trickles(i) {
			go func() {
				c.read(k, h, i)
				k.leave(ctx.Err() == nil)
			}()
		}
		return nil
	}
	c.each(ctx, h.connections, open)
	ready()
	for wait(ctx, beat) {
		var lost []int
		for i, k := range held {
			if k == nil || k.ended() {
				lost = append(lost, i)
				continue
			}
			if h.trickles(i) {
				_ = k.SetWriteDeadline(time.Now().Add(beat))
				_, _ = k.Write([]byte{'x'})
			}
		}
		for _, i := range lost {
			if held[i] != nil {
				held[i].leave(true)
				held[i] = nil
			}
		}
		if c.Reconnect {
			c.each(ctx, len(lost), func(n int) error { return open(lost[n]) })
		}
	}
	for _, k := range held {
		if k != nil && k.ended() {
			k.leave(true)
		}
	}
	return nil // the readers end with their connections
}

// read reads from a held connection until its end.
func (c *crew) read(k *conn, h *holding, i int) {
	if c.Protocol != HTTP2 {
		_, _ = io.Copy(io.Discard, counting{c, k})
		return
	}
	reader := newH2(k)
	reader.next = uint32(2*h.streams + 1)
	for {
		frame, err := reader.frame()
		if err != nil {
			return
		}
		if frame.Header().Type == http2.FrameRSTStream && c.Reconnect && h.again != nil {
			_, _ = reader.send(h.again(i)) // a lost connection is found by the next frame
		}
	}
}

// counting counts the answers in what is read, by their status lines.
type counting struct {
	crew *crew
	from io.Reader
}

func (r counting) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.crew.answers.Add(int64(bytes.Count(p[:n], []byte("HTTP/1."))))
	r.crew.bytes.Add(int64(n))
	return n, err
}
