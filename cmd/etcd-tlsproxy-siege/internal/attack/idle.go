package attack

import (
	"context"

	"golang.org/x/net/http2"
)

// smallKey exists in every siege.
const smallKey = "/v2/keys/siege/small"

// silentConnections is more than the servers of a siege accept.
const silentConnections = 1500

// silent asks once on each connection, and then nothing more. On HTTP/2 the attackers answer
// PINGs.
func silent(ctx context.Context, c *crew, ready func()) error {
	first := c.first(&request{method: "GET", target: smallKey})
	return c.hold(ctx, &holding{
		connections: silentConnections, first: func(int) []byte { return first }, reads: true, streams: 1,
	}, ready)
}

// halfConnections is how many connections send half of something.
const halfConnections = 90

// halfHeads opens three kinds of connections: one that sends nothing, one that does not send
// a whole head, and one that continues a head byte by byte. On HTTP/2 the second kind completes the
// preface and answers PINGs. A server that bounds the time for a head ends all of them.
func halfHeads(ctx context.Context, c *crew, ready func()) error {
	whole := (&request{method: "GET", target: smallKey + "?" + long(200)}).http1(c.Protocol)
	half := whole[:len(whole)-100]
	continued := half
	if c.Protocol == HTTP2 {
		half = preface(wideWindow)
		// The frame has 16,000 bytes, of which the first arrives.
		continued = append(preface(wideWindow), 0, 0x3e, 0x80, byte(http2.FrameHeaders), byte(http2.FlagHeadersEndStream|http2.FlagHeadersEndHeaders), 0, 0, 0, 1, 0x82)
	}
	return c.hold(ctx, &holding{
		connections: halfConnections, reads: true, streams: 1,
		first:      func(i int) []byte { return [][]byte{nil, half, continued}[i%3] },
		unfinished: func(i int) bool { return i%3 == 2 },
	}, ready)
}
