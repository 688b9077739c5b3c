package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"etcd-tlsproxy/proxy/proxytest/exact"
	"etcd-tlsproxy/proxy/v2store"
)

// writers is the number of clients of each proxy that write.
const writers = 2

// client draws operations, and sends them through one proxy.
type client struct {
	*round
	number, proxy, sent int
	random              *rand.Rand
	http                *http.Client
	// known is the last node of each key that it has seen.
	known map[string]v2store.Node
}

// run sends operations until the context ends.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil && c.room(ctx) {
		o := &exact.Op{Request: c.draw(), Client: c.number, Proxy: c.proxy}
		ttl := 0
		if o.Key == c.key("passing/%d", c.number) {
			ttl = []int{1, 1800}[c.random.IntN(2)]
		}
		c.do(c.http, o, ttl)
		c.learn(o)
		if o.Outcome == exact.Refused { // its proxy cannot serve: do not ask it all the time
			pause(ctx, 20*time.Millisecond)
		}
	}
}

// learn takes note of a node that an answer shows.
func (c *client) learn(o *exact.Op) {
	if o.Outcome != exact.Answered || o.Code != 0 {
		return
	}
	delete(c.known, o.Key)
	if o.Event.Node.Value != nil {
		c.known[o.Key] = *o.Event.Node
	}
	if o.Key == c.key("queue") && o.Action == v2store.Get && len(o.Event.Node.Nodes) > 0 {
		// The names have one length, so that the order of text is that of numbers.
		first := o.Event.Node.Nodes[0]
		for _, n := range o.Event.Node.Nodes {
			if n.Key < first.Key {
				first = n
			}
		}
		c.known[o.Key] = *first
	}
}

// draw draws a request.
func (c *client) draw() exact.Request {
	c.sent++
	value := fmt.Sprintf("%d-%d", c.number, c.sent)
	switch n := c.random.IntN(100); {
	case n < 50:
		return c.drawRegister(c.key("r%d", c.random.IntN(2)), value)
	case n < 62:
		return exact.Request{Action: v2store.Create, Key: c.key("queue"), InOrder: true, Value: value}
	case n < 72:
		first, found := c.known[c.key("queue")]
		if !found {
			return exact.Request{Action: v2store.Get, Key: c.key("queue"), Quorum: c.random.IntN(2) == 0, Recursive: true}
		}
		delete(c.known, c.key("queue"))
		return exact.Request{Action: v2store.CompareAndDelete, Key: first.Key, PrevIndex: first.ModifiedIndex, PrevValue: *first.Value}
	case n < 92:
		return c.drawDirectory(c.key("d%d", c.random.IntN(2)), value)
	}
	return exact.Request{Action: v2store.Set, Key: c.key("passing/%d", c.number), Value: value}
}

func (c *client) drawRegister(key, value string) exact.Request {
	known, found := c.known[key]
	n := c.random.IntN(10)
	if !found && n >= 6 {
		n = 4
	}
	switch n {
	case 0, 1:
		return exact.Request{Action: v2store.Set, Key: key, Value: value}
	case 2:
		return exact.Request{Action: v2store.Create, Key: key, Value: value}
	case 3:
		return exact.Request{Action: v2store.Update, Key: key, Value: value}
	case 4:
		return exact.Request{Action: v2store.Get, Key: key, Quorum: true}
	case 5:
		return exact.Request{Action: v2store.Get, Key: key}
	case 6:
		return exact.Request{Action: v2store.CompareAndSwap, Key: key, Value: value, PrevValue: *known.Value}
	case 7:
		return exact.Request{Action: v2store.CompareAndSwap, Key: key, Value: value, PrevValue: *known.Value, PrevIndex: known.ModifiedIndex}
	case 8:
		return exact.Request{Action: v2store.CompareAndDelete, Key: key, PrevValue: *known.Value}
	}
	return exact.Request{Action: v2store.Delete, Key: key}
}

func (c *client) drawDirectory(key, value string) exact.Request {
	file := key + "/" + []string{"a", "b"}[c.random.IntN(2)]
	switch c.random.IntN(8) {
	case 0:
		return exact.Request{Action: v2store.Create, Key: key, Dir: true}
	case 1, 2:
		return exact.Request{Action: v2store.Set, Key: file, Value: value}
	case 3:
		return exact.Request{Action: v2store.Delete, Key: file}
	case 4:
		return exact.Request{Action: v2store.Delete, Key: key, Dir: true}
	case 5:
		return exact.Request{Action: v2store.Delete, Key: key, Dir: true, Recursive: true}
	case 6:
		return exact.Request{Action: v2store.Get, Key: key, Recursive: true, Quorum: true}
	}
	return exact.Request{Action: v2store.Get, Key: key, Recursive: true}
}

// pause waits, unless the context ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
