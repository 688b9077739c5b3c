package check

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
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
func (c *Counters) Check(findings *Findings, etcdURL string) error {
	for k := range c.acked {
		body, err := transport.GetFromEtcd(etcdURL, "/v2/keys"+CounterKey(k)+"?quorum=true")
		if err != nil {
			return err
		}
		var got transport.Event
		if err := json.Unmarshal(body, &got); err != nil {
			return err
		}
		n := int64(0)
		if got.Node != nil {
			n, _ = ParseCount(got.Node.Value)
		}
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
