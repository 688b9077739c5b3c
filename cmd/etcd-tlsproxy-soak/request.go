package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// outcome is what is known about a request after its answer.
type outcome int

const (
	done    outcome = iota // it was answered as expected
	unsent                 // etcd did not carry it out, and will not
	unknown                // etcd may or may not have carried it out
)

// unknownOutcome counts writes that the proxy says it knows nothing about.
const unknownOutcome = "unknown outcome"

// do sends a request and judges the answer.
func (c *client) do(r *transport.Request, expected ...int) (*transport.Answer, outcome) {
	return c.doWithin(context.Background(), r, expected...)
}

// doWithin is like do, for a client that disconnects when ctx ends.
func (c *client) doWithin(ctx context.Context, r *transport.Request, expected ...int) (*transport.Answer, outcome) {
	limited, cancel := context.WithTimeout(ctx, transport.Timeout)
	defer cancel()
	sent := time.Now()
	got, err := c.via.Do(limited, r)
	if err != nil && ctx.Err() != nil {
		c.findings.CountRequest(c.kind, "left")
		return nil, unknown
	}
	if err != nil && limited.Err() != nil {
		c.mismatch("%v: no answer after %v", r, transport.Timeout)
		return nil, unknown
	}
	return c.judge(r, got, err, sent, expected...)
}

// judge decides whether an answer is right. Failures need an outage as an excuse. With a v3 store the
// proxy must find out what became of a write, and watches must go on, unless etcd has forgotten revisions.
func (c *client) judge(r *transport.Request, got *transport.Answer, err error, sent time.Time, expected ...int) (*transport.Answer, outcome) {
	answered := time.Now()
	excused := !r.Local && c.outages.Overlap(sent, answered)
	uncertain := c.store == nil || c.store.forgetting.Overlap(sent, answered)
	switch {
	case err != nil && excused && uncertain && errors.Is(err, transport.ErrBrokenOff):
		c.findings.CountRequest(c.kind, "broken off")
		c.backOff()
		return nil, unknown
	case err != nil:
		c.mismatch("%v: %v", r, err)
		c.backOff()
		return nil, unknown
	}
	if r.Method != "HEAD" {
		if err := json.Unmarshal([]byte(got.Body), &got.Event); err != nil {
			c.mismatch("%v: status %d with a body that is not valid JSON: %v: %.200q", r, got.Status, err, got.Body)
			return nil, unknown
		}
	}
	if slices.Contains(expected, got.Status) {
		c.findings.CountRequest(c.kind, fmt.Sprint(got.Status))
		return got, done
	}
	unavailable := got.Status == 502 || got.Status == 503 || got.Status == 504
	wellFormed := r.Method == "HEAD" || got.ErrorCode == 300 && got.Cause != ""
	if !unavailable || !excused || !wellFormed {
		c.mismatch("%v: got status %d, want one of %v, after %v: %.300s", r, got.Status, expected, answered.Sub(sent).Round(time.Millisecond), got.Body)
		c.backOff()
		return nil, unknown
	}
	c.backOff()
	if strings.HasSuffix(got.Cause, "nothing was sent") || strings.HasSuffix(got.Cause, "nothing was carried out") {
		c.findings.CountRequest(c.kind, fmt.Sprint(got.Status))
		return got, unsent
	}
	switch {
	case !r.Writes():
		c.findings.CountRequest(c.kind, fmt.Sprint(got.Status))
	case uncertain:
		c.findings.CountRequest(c.kind, unknownOutcome)
	default:
		c.mismatch("%v: the outcome is unknown, although etcd has forgotten no revision: %.300s", r, got.Body)
	}
	return got, unknown
}
