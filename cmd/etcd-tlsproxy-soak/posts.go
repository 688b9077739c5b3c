package main

import (
	"fmt"
	"net/url"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/check"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// maxPosts is how many values go into a folder before it is checked and removed.
const maxPosts = 400

// post returns the n-th POST of a client, with a value that is sent only once, and
// increments n.
func (c *client) post(n *int) (r *transport.Request, folder, value string) {
	folder = c.folder(*n)
	value = fmt.Sprintf("%s-%d-%d", c.kind, c.id, *n)
	*n++
	return &transport.Request{Method: "POST", Target: folder, User: "worker", Form: url.Values{"value": {value}}.Encode()}, folder, value
}

// folder returns the folder of the n-th value.
func (c *client) folder(n int) string {
	return fmt.Sprintf("/soak/posts/%s-%d-%d", c.kind, c.id, n/maxPosts)
}

// recordPost records what the answer to a POST means.
func (c *client) recordPost(r *transport.Request, folder, value string, got *transport.Answer, outcome outcome) {
	switch {
	case outcome == unsent:
		c.posts.Record(folder, value, check.Never, "")
	case outcome == unknown:
		c.posts.Record(folder, value, check.Maybe, "")
	case got.Node == nil:
		c.foreignAnswer(r, got)
		c.posts.Record(folder, value, check.Maybe, "")
	case !c.checkWrite(r, got, "create", got.Node.Key, value):
		c.posts.Record(folder, value, check.Maybe, "")
	default:
		c.posts.Record(folder, value, check.Once, got.Node.Key)
	}
}

// writePosts fills folders, and checks and removes each one when it is full.
func (c *client) writePosts() {
	for n := 0; c.isWorking(); {
		r, folder, value := c.post(&n)
		got, outcome := c.do(r, 201)
		c.recordPost(r, folder, value, got, outcome)
		if n%maxPosts == 0 {
			c.checkAndRemove(folder)
		}
		c.pause(15)
	}
}

// checkAndRemove compares a folder with what was recorded and deletes it.
func (c *client) checkAndRemove(folder string) {
	if err := c.posts.Check(c.name(), folder); err != nil {
		if c.isWorking() {
			c.mismatch("reading %s from etcd: %v", folder, err)
		}
		return
	}
	// After an attempt of unknown outcome the folder may be gone.
	for expected := []int{200}; c.isWorking(); expected = []int{200, 404} {
		r := &transport.Request{Method: "DELETE", Target: folder + "?recursive=true", User: "worker"}
		got, outcome := c.do(r, expected...)
		if outcome != done {
			continue
		}
		if got.Status == 200 && (got.Action != "delete" || got.Node == nil || got.Node.Key != folder) {
			c.foreignAnswer(r, got)
		}
		c.posts.Forget(folder)
		return
	}
}
