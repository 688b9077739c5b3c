package attack

import (
	"context"
	"fmt"
)

// smallBuffer is the receive buffer of attackers that do not read; the kernel doubles it.
const smallBuffer = 2 << 10

// firsts returns a function for the first bytes of a connection: so many requests, which are
// sent at once.
func (c *crew) firsts(requests int, window uint32, r func(n int) *request) func(i int) []byte {
	return func(i int) []byte {
		if c.Protocol != HTTP2 {
			var all []byte
			for n := range requests {
				all = append(all, r(i*requests+n).http1(c.Protocol)...)
			}
			return all
		}
		all, e := preface(window), newEncoder()
		for n := range requests {
			all = append(all, e.request(uint32(2*n+1), r(i*requests+n))...)
		}
		return all
	}
}

// streams asks for short answers and takes none of them.
func streams(ctx context.Context, c *crew, ready func()) error {
	const connections, requests = 250, 100
	missing := func(n int) *request { return &request{method: "GET", target: fmt.Sprintf("/v2/keys/missing/%d", n)} }
	return c.hold(ctx, &holding{
		connections: connections, receive: smallBuffer, reads: c.Protocol == HTTP2, streams: requests,
		first: c.firsts(requests, noWindow, missing), again: missing,
	}, ready)
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
	return c.hold(ctx, &holding{
		connections: connections, receive: smallBuffer, reads: c.Protocol == HTTP2, streams: requests,
		first: c.firsts(requests, noWindow, read), again: read,
	}, ready)
}
