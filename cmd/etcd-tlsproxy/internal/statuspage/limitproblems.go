package statuspage

import (
	"fmt"
	"slices"
	"time"

	"etcd-tlsproxy/proxy/observe"
)

// nearPercent is the use of a limit at which it becomes a problem, like in the alerts.
const nearPercent = 80

// limitProblems lists the limits that are near or reached, and what clients wait for.
func (s *Status) limitProblems() (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	parts := s.fullParts()
	for i := range s.Limits {
		l := &s.Limits[i]
		text := count
		if l.Unit == "bytes" {
			text = size
		}
		used, limit := text(float64(l.Used)), text(float64(l.Limit))
		switch p := s.poolOf(l); {
		case l.Name == "memory": // it has problems of its own
		case l.Name == requestsLimit && len(parts) > 0:
			list = append(list, parts...)
		case p != nil && p.Used >= p.Total-p.Reserve:
			rest := ""
			if p.Used < p.Total {
				rest = ", and the rest is for clients below their share"
			}
			add("The limit %s is reached%s: %s of %s are in use%s. %s", l.Name, most(p), used, limit, rest, beyond[l.Name](p))
		case l.Percent >= nearPercent:
			add("The limit %s is near: %s of %s are in use.", l.Name, used, limit)
		case p != nil && l.Highest >= p.Total-p.Reserve:
			add("The limit %s was reached in the last 10 minutes: %s of %s were in use. %s", l.Name, text(float64(l.Highest)), limit, beyond[l.Name](p))
		case l.HighestPercent >= nearPercent:
			add("The limit %s was near in the last 10 minutes: %s of %s were in use.", l.Name, text(float64(l.Highest)), limit)
		}
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		if p.WaitingSince.IsZero() {
			continue
		}
		part := ""
		if slices.Contains(partsOfRequests, p.Pool) {
			part = ", a part of upstream_requests,"
		}
		add("Clients wait for their turn at the pool %s%s since %s. Shared by all clients says who holds it, and how many wait now.", p.Pool, part, p.WaitingSince.Format(time.DateTime))
	}
	return list
}

// partsOfRequests are the pools into which limits.upstream_requests is divided. One can be full
// while the limit has room.
var partsOfRequests = []string{"requests", "proposals", "trees"}

// requestsLimit is the limit with these parts.
const requestsLimit = "upstream_requests"

// recently is for how long a refusal is among the problems, like the highest use of a limit.
const recently = 10 * time.Minute

// fullParts lists the parts of limits.upstream_requests that are full while requests wait, or at
// which requests were refused lately.
func (s *Status) fullParts() (list []string) {
	for i := range s.Pools {
		p := &s.Pools[i]
		if !slices.Contains(partsOfRequests, p.Pool) {
			continue
		}
		refused := fmt.Sprintf("Requests beyond it wait for their turn, and get status 503 after limits.upstream_timeout: %s since the start.", count(float64(p.Evicted)))
		switch {
		case p.Waiting > 0 && p.Used >= p.Total-p.Reserve:
			list = append(list, fmt.Sprintf("The limit %s is reached at its part %s%s: %s of %s are in use, and %s wait. %s",
				requestsLimit, p.Pool, most(p), count(float64(p.Used)), count(float64(p.Total)), count(float64(p.Waiting)), refused))
		case !p.EvictedAt.IsZero() && s.Time.Sub(p.EvictedAt) < recently:
			list = append(list, fmt.Sprintf("The limit %s was reached in the last 10 minutes at its part %s of %s. %s The last was at %s.",
				requestsLimit, p.Pool, count(float64(p.Total)), refused, p.EvictedAt.Format(time.DateTime)))
		}
	}
	return list
}

// beyond says what becomes of clients at or above their share at a limit of which a part is
// reserved for others.
var beyond = map[string]func(*observe.PoolStatus) string{
	"connections": func(*observe.PoolStatus) string {
		return "Then for a new connection one of a client above its share is closed, or the new one."
	},
	"watches": func(p *observe.PoolStatus) string {
		return fmt.Sprintf("Then new watches of clients at or above their share get status 503 after two seconds: %s since the start.", count(float64(p.Evicted)))
	},
}

// poolOf returns the pool of a limit of which a part is reserved for clients below their share,
// or nil.
func (s *Status) poolOf(l *observe.LimitStatus) *observe.PoolStatus {
	i := slices.IndexFunc(s.Pools, func(p observe.PoolStatus) bool { return p.Pool == l.Name && beyond[l.Name] != nil })
	if i < 0 {
		return nil
	}
	return &s.Pools[i]
}

// most names the client that holds the most of a pool.
func most(p *observe.PoolStatus) string {
	if len(p.Largest) == 0 {
		return ""
	}
	return fmt.Sprintf(", mostly by %s with %s", p.Largest[0].Account, count(float64(p.Largest[0].Used)))
}
