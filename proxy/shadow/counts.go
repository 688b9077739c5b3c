package shadow

import (
	"log/slog"
	"sync"
	"time"
)

// Kind is what differs between two answers.
type Kind string

const (
	// Verdict: one of them refuses, or both do for another reason.
	Verdict Kind = "verdict"
	// Action: they did something else.
	Action Kind = "action"
	// Nodes: one has a node that the other does not have, or one of another kind.
	Nodes Kind = "nodes"
	// Value: the values of a file differ.
	Value Kind = "value"
	// Index: the indexes of a node differ.
	Index Kind = "index"
	// Expiry: the expiries of a node differ, by more than a second.
	Expiry Kind = "expiry"
)

// Kinds are all kinds.
var Kinds = []Kind{Verdict, Action, Nodes, Value, Index, Expiry}

// Reason is why an answer was not compared.
type Reason string

const (
	// Full: there was no room for it.
	Full Reason = "full"
	// Large: it is too large.
	Large Reason = "large"
	// Behind: the shadow did not reach its index in time, or there is none.
	Behind Reason = "behind"
	// Late: the shadow was past its index, and something has changed since.
	Late Reason = "late"
	// Refresh: it is about a refresh, of which no event tells.
	Refresh Reason = "refresh"
	// Other: it is an answer that does not depend on the keys, such as that there is no leader.
	Other Reason = "other"
)

// Reasons are all reasons.
var Reasons = []Reason{Full, Large, Behind, Late, Refresh, Other}

// Difference is one between an answer and what the shadow would have answered.
type Difference struct {
	// At is when it was found.
	At   time.Time
	Kind Kind
	// Method and Key are those of the request. What never has a value.
	Method string
	Key    string
	What   string
}

const (
	// maxDifferences is how many of them are kept.
	maxDifferences = 20
	// maxKey bounds the bytes of a key that is kept.
	maxKey = 1 << 10
	// logPeriod is how often differences are logged.
	logPeriod = 10 * time.Second
)

// Counts counts what became of samples. Successive shadows may share it.
type Counts struct {
	mu            sync.Mutex
	reads, writes int64
	skipped       map[Reason]int64
	differences   map[Kind]int64
	first         []Difference
	last          time.Time
	logged        time.Time
	unlogged      int
}

func (c *Counts) compared(write bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if write {
		c.writes++
	} else {
		c.reads++
	}
}

func (c *Counts) skip(why Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.skipped == nil {
		c.skipped = map[Reason]int64{}
	}
	c.skipped[why]++
}

// differs takes note of a difference.
func (c *Counts) differs(d Difference, log *slog.Logger) {
	d.At = time.Now().UTC().Truncate(time.Millisecond)
	d.Key = clip(d.Key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.differences == nil {
		c.differences = map[Kind]int64{}
	}
	c.differences[d.Kind]++
	c.last = d.At
	if len(c.first) < maxDifferences {
		c.first = append(c.first, d)
	}
	c.unlogged++
	if time.Since(c.logged) < logPeriod {
		return
	}
	log.Error("the shadow differs from the v2 API", "kind", string(d.Kind), "method", d.Method, "key", d.Key, "what", d.What, "differences", c.unlogged)
	c.logged, c.unlogged = time.Now(), 0
}
