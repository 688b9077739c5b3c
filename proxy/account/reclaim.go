package account

import "time"

// reclaimEvery is the interval at which holders are revoked, and reclaimShare the part of
// the total that may be revoked each time. It takes five seconds at least to revoke all of
// a pool.
const (
	reclaimEvery = 50 * time.Millisecond
	reclaimShare = 100
)

// promiseLength is how long holders that were revoked may take to release their units.
// Others are revoked after that.
const promiseLength = time.Second

// scheduleReclaim starts the timer of the next reclaim if somebody waits; p.mu is held.
func (p *Pool) scheduleReclaim() {
	if p.reclaimTimer == nil && p.queue.len > 0 {
		p.reclaimTimer = time.AfterFunc(time.Until(p.nextReclaim), p.reclaim)
	}
}

// reclaim revokes holders for those that wait.
func (p *Pool) reclaim() {
	start := time.Now()
	p.mu.Lock()
	p.surveyAll(start)
	if start.Sub(p.promisedAt) > promiseLength {
		p.promised = 0
	}
	p.early = 0
	pl := p.planFor(p.queue.units - p.promised)
	p.mu.Unlock()
	units, holders := pl.carryOut(start)
	p.mu.Lock()
	defer p.mu.Unlock()
	if units > 0 {
		p.promised += max(0, units-p.early) // some holders may have released theirs by now
		p.promisedAt = start
	}
	p.revoked += uint64(holders)
	p.nextReclaim = start.Add(max(reclaimEvery, surveyShare*time.Since(start)))
	p.reclaimTimer = nil
	p.scheduleReclaim()
}

// Reclaim revokes holders of up to so many units although nobody waits, because something
// behind the pool is short, and the pool does not know how much of it there is. It takes them from
// accounts that hold more than their share of what is in use, if one more network came. It returns
// the number of units that will be released. One call revokes at most a hundredth of the total.
func (p *Pool) Reclaim(units int64) int64 {
	now := time.Now()
	p.mu.Lock()
	p.surveyAll(now)
	pl := &plan{pool: p, quota: min(units, max(1, p.total/reclaimShare)), any: units, donors: p.donors(p.Used(), 1)}
	p.mu.Unlock()
	promised, holders := pl.carryOut(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoked += uint64(holders)
	return promised
}

// carryOut revokes holders and returns the number of units that they will release, and that
// of the holders.
func (pl *plan) carryOut(now time.Time) (units int64, holders int) {
	if pl.quota <= 0 {
		return 0, 0
	}
	for _, rank := range pl.ranked() {
		for _, c := range rank {
			if units >= pl.quota {
				return units, holders
			}
			if n := pl.revoke(&c); n > 0 {
				if pl.pool.pauses {
					c.donor.account.pause(now)
				}
				units += n
				holders++
			}
		}
	}
	for _, a := range pl.exchange {
		for _, h := range a.holdersOf(pl.pool) {
			if units >= pl.quota {
				return units, holders
			}
			if h.Class() != Silent {
				continue
			}
			if n := h.Revoke(Silent); n > 0 {
				units += n
				holders++
			}
		}
	}
	return units, holders
}

// revoke revokes a holder if its account is still above its share, and if somebody waits who
// may have its units.
func (pl *plan) revoke(c *candidate) int64 {
	network := c.donor.account.key.network
	inside := pl.in[network] > 0
	if c.donor.excess <= 0 || !inside && (pl.any <= 0 || !c.donor.forOther) {
		return 0
	}
	n := c.holder.Revoke(c.class)
	c.donor.excess -= n
	if inside {
		pl.in[network] -= n
	} else {
		pl.any -= n
	}
	return n
}
