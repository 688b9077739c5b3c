package main

import (
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/check"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// abort sends requests and closes the connection: in the middle of a head, in the middle
// of a body, or before the answer. A request that was not sent as a whole must never
// reach etcd.
func (c *client) abort() {
	for n := 0; c.isWorking(); c.pause(60) {
		t := c.http1("1.1")
		if err := t.Connect(); err != nil {
			c.mismatch("%v", err)
			continue
		}
		switch c.random.IntN(3) {
		case 0: // a read, during its answer
			r, _ := c.versionRead()
			_ = t.Send(t.Text(r))
		case 1: // a watch
			_ = t.Send(t.Text(&transport.Request{Method: "GET", Target: "/soak/watched/p0?wait=true&recursive=true"}))
			c.pause(20)
		default:
			c.abortPost(t, &n)
		}
		c.findings.CountRequest(c.kind, "left")
		t.Close()
	}
}

// abortPost sends a POST, or only the beginning of one.
func (c *client) abortPost(t *transport.HTTP1, n *int) {
	r, folder, value := c.post(n)
	text := t.Text(r)
	cut := len(text) - c.random.IntN(len(text))
	if c.random.IntN(2) == 0 {
		cut = len(text)
	}
	fate := check.Never
	if cut == len(text) {
		fate = check.Maybe
	}
	c.posts.Record(folder, value, fate, "")
	_ = t.Send(text[:cut])
	if c.random.IntN(2) == 0 {
		c.pause(5)
	}
	if *n%maxPosts == 0 {
		c.checkAndRemove(folder)
	}
}
