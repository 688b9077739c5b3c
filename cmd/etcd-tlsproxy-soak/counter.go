package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/check"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// incrementOwn increments a counter that only this client writes.
func (c *client) incrementOwn() {
	k, value, step := c.id, "", 0
	key := check.CounterKey(k)
	for c.isWorking() {
		n, _ := check.ParseCount(value)
		next := fmt.Sprintf("%d:%d-%d", n+1, c.id, step)
		step++
		form := url.Values{"value": {next}}
		action := "create"
		if value == "" {
			form.Set("prevExist", "false")
		} else {
			form.Set("prevValue", value)
			action = "compareAndSwap"
		}
		r := &transport.Request{Method: "PUT", Target: key, User: "worker", Form: form.Encode()}
		got, outcome := c.do(r, 200, 201)
		switch outcome {
		case done:
			if c.checkWrite(r, got, action, key, next) {
				c.counters.Acknowledge(k)
			}
			value = next
		case unknown:
			c.counters.AddUnknown(k)
			value = c.readOwn(k, value, next)
		}
		c.pause(20)
	}
}

// readOwn determines whether etcd has carried out a swap of unknown outcome.
func (c *client) readOwn(k int, before, after string) string {
	for {
		c.settle()
		r := &transport.Request{Method: "GET", Target: check.CounterKey(k) + "?quorum=true"}
		got, outcome := c.do(r, 200, 404)
		if outcome != done {
			if !c.isWorking() {
				return before
			}
			continue
		}
		value := ""
		if got.Node != nil {
			value = got.Node.Value
		}
		if value != before && value != after {
			c.reportSwap(r, value, before, after)
		}
		return value
	}
}

// reportSwap reports a value that an own counter cannot have.
func (c *client) reportSwap(r *transport.Request, value, before, after string) {
	found, _ := check.ParseCount(value)
	acknowledged, _ := check.ParseCount(before)
	if found < acknowledged {
		c.findings.LostWrite(c.name(), "%v shows %q after %q was acknowledged", r, value, before)
		return
	}
	c.findings.DoubledWrite(c.name(), "%v shows %q, want %q or %q", r, value, before, after)
}

// incrementShared increments counters that other clients increment as well.
func (c *client) incrementShared() {
	for step := 0; c.isWorking(); step++ {
		k := check.OwnCounters + c.random.IntN(check.SharedCounters)
		key := check.CounterKey(k)
		floor := c.counters.Acknowledged(k)
		read := &transport.Request{Method: "GET", Target: key}
		current, outcome := c.do(read, 200, 404)
		if outcome != done {
			continue
		}
		n, ok := int64(0), true
		form, action := url.Values{"prevExist": {"false"}}, "create"
		if current.Node != nil {
			n, ok = check.ParseCount(current.Node.Value)
			form = url.Values{"prevIndex": {strconv.FormatUint(current.Node.ModifiedIndex, 10)}}
			action = "compareAndSwap"
		}
		if !ok || n < floor {
			c.mismatch("%v: got %.200s, want at least %d, which were acknowledged before the request", read, current.Body, floor)
		}
		c.pause(3)
		value := fmt.Sprintf("%d:%d-%d", n+1, c.id, step)
		form.Set("value", value)
		r := &transport.Request{Method: "PUT", Target: key, User: "worker", Form: form.Encode()}
		switch got, outcome := c.do(r, 200, 201, 412); {
		case outcome == unknown:
			c.counters.AddUnknown(k)
		case outcome == done && got.Status == 412:
			// The cause names the index that was compared, so it must be that of this request.
			if form.Has("prevIndex") && !strings.HasPrefix(got.Cause, "["+form.Get("prevIndex")+" != ") {
				c.foreignAnswer(r, got)
			}
		case outcome == done && c.checkWrite(r, got, action, key, value):
			c.counters.Acknowledge(k)
		}
		c.pause(20)
	}
}
