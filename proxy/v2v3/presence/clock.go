package presence

import (
	"fmt"
	"maps"
	"sync"
	"time"
)

// maxSkew is how far clocks may be apart. Nodes expire up to that much too early.
const maxSkew = 2 * time.Second

// clock decides whether the clock of a keeper can be trusted. A clock that jumped ahead would
// expire everything at once.
type clock struct {
	now func() time.Time

	mu sync.Mutex
	// since is the time when the keeper was elected. What others put since then was not put earlier.
	since int64
	// last is the time of the last check, by the system's clock and by the monotonic one.
	lastWall int64
	last     time.Time
	// open tells that this proxy is the keeper or may be: the events of others can arrive before etcd says that
	// it was elected. from is the revision of the election, or 0 while that is not known.
	open bool
	from int64
	// others is what the other sessions said.
	others map[string]answer
	doubts int
	until  time.Time // the end of the rest
}

// answer is what another session said about its clock: whether it agrees, and at which revision.
type answer struct {
	agrees   bool
	revision int64
}

// begin forgets what was known about clocks, before an election.
func (c *clock) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open, c.from = true, 0
	c.since = c.now().UnixNano()
	c.lastWall, c.last = c.since, time.Now()
	c.others = map[string]answer{}
}

// elected drops what others said before the revision of the election.
func (c *clock) elected(revision int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.from = revision
	maps.DeleteFunc(c.others, func(_ string, a answer) bool { return a.revision <= revision })
}

// end takes no more note of others.
func (c *clock) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = false
}

// observe takes note of the time of another proxy, which it had between the election and now, and when it
// put a revision.
func (c *clock) observe(session string, at, revision int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open && revision > c.from {
		c.others[session] = answer{at >= c.since-int64(maxSkew) && at <= c.now().UnixNano()+int64(maxSkew), revision}
	}
}

// heard reports whether enough others have said what time they have, after a while. A clock that is ahead
// would expire everything while the others are slow to answer. If most of those who have answered differ, the
// rest are waited for: they may agree.
func (c *clock) heard(others []string, after time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if after > maxAnswer && len(c.others) > 0 && !c.outvoted(0) {
		return true
	}
	return c.silent(others, after) == 0
}

// silent returns the number of others who may still say what time they have. The caller holds the lock.
func (c *clock) silent(others []string, after time.Duration) (n int) {
	if after > maxAnswers {
		return 0
	}
	for _, name := range others {
		if _, heard := c.others[name]; !heard {
			n++
		}
	}
	return n
}

// outvoted reports whether the clocks of most others differ, if some more agree. The caller holds the lock.
func (c *clock) outvoted(more int) bool {
	different := c.different()
	return different > len(c.others)-different+more
}

// doubt returns why the clock cannot be trusted a while after the election, or "". A rest begins then.
func (c *clock) doubt(others []string, after time.Duration) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, now := c.now().UnixNano(), time.Now()
	jump := time.Duration(wall-c.lastWall) - now.Sub(c.last)
	c.lastWall, c.last = wall, now
	reason := ""
	switch {
	case jump.Abs() > maxSkew:
		reason = fmt.Sprintf("the clock has jumped by %s", jump.Round(time.Millisecond))
	case c.outvoted(c.silent(others, after)):
		reason = fmt.Sprintf("the clocks of %d of %d other proxies differ by more than %s", c.different(), len(c.others), maxSkew)
	default:
		return ""
	}
	c.doubts++
	c.until = now.Add(rest)
	return reason
}

// different returns the number of others whose clock does not agree. The caller holds the lock.
func (c *clock) different() int {
	n := 0
	for _, a := range c.others {
		if !a.agrees {
			n++
		}
	}
	return n
}

func (c *clock) rests() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.until)
}

func (c *clock) counts() (different, doubts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.from == 0 {
		return 0, c.doubts // those who spoke may have done so before an election
	}
	return c.different(), c.doubts
}
