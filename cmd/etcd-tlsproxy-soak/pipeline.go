package main

import (
	"fmt"
	"strings"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// pipelined is one request of a batch, with the check of its answer.
type pipelined struct {
	*transport.Request
	expected []int
	check    func(got *transport.Answer, outcome outcome)
}

// pipeline sends several requests at once. The answers must come in the same order.
func (c *client) pipeline() {
	t := c.http1("1.1")
	defer t.Close()
	for n := 0; c.isWorking(); c.pause(40) {
		if err := t.Connect(); err != nil {
			c.mismatch("%v", err)
			continue
		}
		var text strings.Builder
		before := n
		batch := make([]pipelined, 2+c.random.IntN(7))
		for i := range batch {
			batch[i] = c.pipelined(&n)
			text.WriteString(t.Text(batch[i].Request))
		}
		sent := time.Now()
		_ = t.SetDeadline(sent.Add(transport.Timeout))
		if t.Send(text.String()) != nil {
			t.Close() // no answer can be read, so every outcome is unknown
		}
		for _, p := range batch {
			if !t.Connected() {
				p.check(nil, unknown)
				continue
			}
			got, err := t.Receive(p.Request)
			if err != nil {
				err = fmt.Errorf("in a batch of %d: %w", len(batch), err)
				t.Close()
			}
			p.check(c.judge(p.Request, got, err, sent, p.expected...))
		}
		if c.folder(before) != c.folder(n) {
			c.checkAndRemove(c.folder(before))
		}
	}
}

// pipelined draws a request for a batch.
func (c *client) pipelined(n *int) pipelined {
	switch c.random.IntN(4) {
	case 0:
		r, folder, value := c.post(n)
		return pipelined{r, []int{201}, func(got *transport.Answer, o outcome) { c.recordPost(r, folder, value, got, o) }}
	case 1:
		r := &transport.Request{Method: "PUT", Target: "/soak/refused/pipelined", Form: "value=refused", Local: true}
		return pipelined{r, []int{401}, func(*transport.Answer, outcome) {}}
	}
	r, k := c.versionRead()
	index, floors := c.index.Load(), c.versions.Floors()
	return pipelined{r, []int{200, 404}, func(got *transport.Answer, o outcome) {
		if o == done {
			c.checkVersions(r, got, k, index, floors)
		}
	}}
}
