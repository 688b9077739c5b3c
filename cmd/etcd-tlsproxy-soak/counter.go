package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
)

// counters are keys that grow by one with each compare-and-swap.
type counters struct {
	acked, open [ownCounters + sharedCounters]atomic.Int64
}

// An own counter has one client, whose swaps can never fail: one that etcd carried
// out twice, or an old one, shows as 412. Shared ones have many.
const (
	ownCounters    = 3
	sharedCounters = 2
)

func counterKey(k int) string { return fmt.Sprintf("/soak/counter/k%d", k) }

func countOf(value string) (int64, bool) {
	text, _, ok := strings.Cut(value, ":")
	n, err := strconv.ParseInt(text, 10, 64)
	return n, ok && err == nil
}

// count is a client with a counter of its own.
func (a *actor) count() {
	k, value, step := a.id, "", 0
	for a.working() {
		n, _ := countOf(value)
		next := fmt.Sprintf("%d:%d-%d", n+1, a.id, step)
		step++
		form := url.Values{"value": {next}}
		action := "create"
		if value == "" {
			form.Set("prevExist", "false")
		} else {
			form.Set("prevValue", value)
			action = "compareAndSwap"
		}
		r := &request{method: "PUT", target: counterKey(k), user: "worker", form: form.Encode()}
		got, outcome := a.do(r, 200, 201)
		switch outcome {
		case done:
			if a.wrote(r, got, action, counterKey(k), next) {
				a.counters.acked[k].Add(1)
			}
			value = next
		case unknown:
			a.counters.open[k].Add(1)
			value = a.which(k, value, next)
		}
		a.pace(20)
	}
}

// which finds out whether a swap of unknown outcome was carried out.
func (a *actor) which(k int, before, after string) string {
	for {
		a.settle()
		r := &request{method: "GET", target: counterKey(k) + "?quorum=true"}
		got, outcome := a.do(r, 200, 404)
		if outcome != done {
			if !a.working() {
				return before
			}
			continue
		}
		value := ""
		if got.Node != nil {
			value = got.Node.Value
		}
		if value != before && value != after {
			a.lostOrDoubled(r, value, before, after)
		}
		return value
	}
}

func (a *actor) lostOrDoubled(r *request, value, before, after string) {
	found, _ := countOf(value)
	expected, _ := countOf(before)
	if found < expected {
		a.tally.lostWrite(a.name(), "%v shows %q after %q was acknowledged", r, value, before)
		return
	}
	a.tally.doubledWrite(a.name(), "%v shows %q; it can be %q or %q", r, value, before, after)
}

// countTogether is a client of a counter that others write as well.
func (a *actor) countTogether() {
	for step := 0; a.working(); step++ {
		k := ownCounters + a.random.IntN(sharedCounters)
		floor := a.counters.acked[k].Load()
		read := &request{method: "GET", target: counterKey(k)}
		got, outcome := a.do(read, 200, 404)
		if outcome != done {
			continue
		}
		n, ok := int64(0), true
		form := url.Values{"prevExist": {"false"}}
		if got.Node != nil {
			n, ok = countOf(got.Node.Value)
			form = url.Values{"prevIndex": {strconv.FormatUint(got.Node.ModifiedIndex, 10)}}
		}
		if !ok || n < floor {
			a.wrong("%v: %.200s; %d were acknowledged before it was sent", read, got.body, floor)
		}
		a.pace(3)
		value := fmt.Sprintf("%d:%d-%d", n+1, a.id, step)
		form.Set("value", value)
		r := &request{method: "PUT", target: counterKey(k), user: "worker", form: form.Encode()}
		action := map[bool]string{true: "create", false: "compareAndSwap"}[got.Node == nil]
		switch got, outcome := a.do(r, 200, 201, 412); {
		case outcome == unknown:
			a.counters.open[k].Add(1)
		case outcome == done && got.status == 412:
			if form.Has("prevIndex") && !strings.HasPrefix(got.Cause, "["+form.Get("prevIndex")+" != ") {
				a.wrong("%v is answered with what belongs to another request: %.200s", r, got.body)
			}
		case outcome == done && a.wrote(r, got, action, counterKey(k), value):
			a.counters.acked[k].Add(1)
		}
		a.pace(20)
	}
}

// check compares the counters with what was acknowledged.
func (c *counters) check(w *world) error {
	for k := range c.acked {
		body, err := direct(w.etcd.URL(), "/v2/keys"+counterKey(k)+"?quorum=true")
		if err != nil {
			return err
		}
		var got event
		if err := json.Unmarshal(body, &got); err != nil {
			return err
		}
		n := int64(0)
		if got.Node != nil {
			n, _ = countOf(got.Node.Value)
		}
		acked, open := c.acked[k].Load(), c.open[k].Load()
		switch {
		case n < acked:
			w.tally.lostWrite("end", "%s is %d after %d acknowledged swaps", counterKey(k), n, acked)
		case n > acked+open:
			w.tally.doubledWrite("end", "%s is %d after %d acknowledged swaps and %d of unknown outcome", counterKey(k), n, acked, open)
		}
	}
	return nil
}
