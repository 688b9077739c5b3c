package check

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
)

// An own counter has one client, whose swaps cannot fail: status 412 shows a swap that
// etcd carried out twice, or an old one that it carried out late. Shared counters have
// several clients.
const (
	OwnCounters    = 3
	SharedCounters = 2
)

// Counters are keys whose number grows by one with each compare-and-swap.
type Counters struct {
	acked, open [OwnCounters + SharedCounters]atomic.Int64
}

// CounterKey returns the key of a counter.
func CounterKey(k int) string { return fmt.Sprintf("/soak/counter/k%d", k) }

// ParseCount returns the number in the value of a counter.
func ParseCount(value string) (int64, bool) {
	text, _, ok := strings.Cut(value, ":")
	n, err := strconv.ParseInt(text, 10, 64)
	return n, ok && err == nil
}

// Acknowledge records a swap that etcd acknowledged.
func (c *Counters) Acknowledge(k int) { c.acked[k].Add(1) }

// Acknowledged returns the number of swaps that etcd acknowledged.
func (c *Counters) Acknowledged(k int) int64 { return c.acked[k].Load() }

// AddUnknown records a swap that etcd may or may not carry out.
func (c *Counters) AddUnknown(k int) { c.open[k].Add(1) }

// Check compares the counters in etcd with the swaps.
func (c *Counters) Check(findings *Findings, content Content) error {
	values, err := content.Values(path.Dir(CounterKey(0)))
	if err != nil {
		return err
	}
	for k := range c.acked {
		n, _ := ParseCount(values[CounterKey(k)])
		acked, open := c.acked[k].Load(), c.open[k].Load()
		switch {
		case n < acked:
			findings.LostWrite("end", "%s is %d after %d acknowledged swaps", CounterKey(k), n, acked)
		case n > acked+open:
			findings.DoubledWrite("end", "%s is %d after %d acknowledged swaps and %d of unknown outcome", CounterKey(k), n, acked, open)
		}
	}
	return nil
}
