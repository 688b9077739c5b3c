package account

import "time"

// congestion is a time in which somebody waits again and again. A moment tells nothing: a
// pool that is too small has no waiters at some moments, and a large one has some at others.
type congestion struct {
	since time.Time // the first wait
	last  time.Time // the begin of the last one
}

// congestionSettle is how long nobody must wait before a congestion has ended, and how long
// one lasts before it is reported.
const congestionSettle = 10 * time.Second

// add records that somebody begins to wait. With alone nobody else waits.
func (c *congestion) add(now time.Time, alone bool) {
	if alone && now.Sub(c.last) > congestionSettle {
		c.since = now
	}
	c.last = now
}

// lasting returns the begin of a congestion that has lasted, or zero.
func (c *congestion) lasting(now time.Time, waiting bool) time.Time {
	last := c.last
	if waiting {
		last = now
	}
	if now.Sub(last) > congestionSettle || last.Sub(c.since) < congestionSettle {
		return time.Time{}
	}
	return c.since
}
