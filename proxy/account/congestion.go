package account

import "time"

// congestion is a time in which somebody waits again and again. A moment tells nothing: a
// pool that is too small has no waiters at some moments, and a large one has some at others.
type congestion struct {
	since time.Time // the first wait
	last  time.Time // the begin of the last one
	least time.Duration
}

// congestionSettle is how long nobody must wait before a congestion has ended, and how long
// one lasts before it is reported, unless waits end earlier.
const congestionSettle = 10 * time.Second

// SetPatience says how long waiters wait for their turn. A congestion is reported once it has
// lasted for a quarter of that, for a second at least and ten at most: before the first of them
// gives up.
func (p *Pool) SetPatience(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.congestion.least = min(congestionSettle, max(time.Second, d/4))
}

// add records that somebody begins to wait. With alone nobody else waits.
func (c *congestion) add(now time.Time, alone bool) {
	if alone && now.Sub(c.last) > congestionSettle {
		c.since = now
	}
	c.last = now
}

// lasting returns the begin of a congestion that has lasted, or zero.
func (c *congestion) lasting(now time.Time, waiting bool) time.Time {
	last, least := c.last, c.least
	if waiting {
		last = now
	}
	if least == 0 {
		least = congestionSettle
	}
	if now.Sub(last) > congestionSettle || last.Sub(c.since) < least {
		return time.Time{}
	}
	return c.since
}
