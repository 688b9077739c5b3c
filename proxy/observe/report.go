package observe

import (
	"cmp"
	"slices"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// State is the part of the status that the server knows.
type State struct {
	Draining bool
	// EmptyingSince is when clients began to be made to leave, or zero if they are not.
	EmptyingSince time.Time
	Policy        *gate.Policy
	Counts        *DecisionCounts
	Connections   Connections
	// Watches and MaxWatches are the number of running watches and its limit.
	Watches, MaxWatches int
	Shared              *share.Watches // nil if watches are not shared
	Upstream            *upstream.Pool
	Stores              []StoreStatus      // the v3 store; empty with the v2 API
	Changeovers         []ChangeoverStatus // empty unless the store says which API has the keys
	Shadows             []ShadowStatus     // empty unless answers are compared
	Written             *account.Tally     // what clients have written to it, in bytes
	// UpstreamFailing is the beginning of the outage of etcd, or zero.
	UpstreamFailing time.Time
	// UpstreamRecovered is the first success after the last failure of the outage, or zero.
	UpstreamRecovered time.Time
	// UpstreamAnswered is the last success that is known.
	UpstreamAnswered time.Time
	Memory           MemoryStatus
	Pools            []*account.Pool
	// Limits are the limits that can be reached, and their use.
	Limits []LimitStatus
}

// Status reports the status. It probes etcd's members unless that was done within the
// last seconds, and waits for their answers no longer than a second.
func (o *Observer) Status(s State) *Status {
	status := &Status{
		State: "serving", ReadOnly: s.Policy.ReadOnly, EmptyingSince: s.EmptyingSince,
		Totals: o.totals(), Windows: o.samples.summary(), History: o.samples.columns(),
		Connections:  s.Connections,
		Watches:      o.watchStatus(&s),
		Upstream:     o.Members(s.Upstream),
		Stores:       shownStores(s.Stores),
		Changeovers:  shownChangeovers(s.Changeovers),
		Shadows:      shownShadows(s.Shadows),
		Writers:      writers(s.Written),
		Refusals:     o.refusals.status(),
		Certificates: certificates(s.Policy.Certs, time.Now()),
		Logs:         []LogStatus{o.Records.Access.status(), o.Records.Audit.status()},
		Memory:       s.Memory,
		Pools:        pools(s.Pools),
		Limits:       s.Limits,
	}
	o.samples.addHighest(status.Limits)
	switch {
	case s.Draining:
		status.State = "draining"
	case !s.EmptyingSince.IsZero():
		status.State = "emptying"
	}
	status.Upstream.addOutage(&s)
	status.Sharing = o.sharing(status)
	status.Rules, status.RulesLeftOut = s.Counts.ruleStatus()
	status.Users, status.UsersLeftOut = s.Counts.userStatus()
	return status
}

func (o *Observer) totals() Totals {
	t := &o.traffic
	return Totals{
		Reads: t.reads.Load(), Writes: t.writes.Load(), Watches: t.watches.Load(),
		Refused: t.refused.Load(), Failed: t.failed.Load(), Bytes: t.bytes.Load(), Events: o.Metrics.Watches.Delivered.Load(),
	}
}

// LimitStatus is the use of a limit that is reached by many clients, or by one that needs much.
// The help text of the metric etcd_tlsproxy_limit_used lists them.
type LimitStatus struct {
	Name    string `json:"limit"`   // its key in the table [limits], or its name
	Unit    string `json:"unit"`    // "bytes" or empty
	Used    int64  `json:"used"`    // how much is in use
	Limit   int64  `json:"value"`   // the limit
	Percent Float  `json:"percent"` // the use in percent
	// Highest is the highest use in the last 10 minutes. That of address_connections,
	// user_watches and open_files is the use now, because these are counted only for the status.
	Highest        int64 `json:"highest"`
	HighestPercent Float `json:"highest_percent"` // the highest use in percent
}

// NewLimitStatus returns the status of a limit above 0.
func NewLimitStatus(name, unit string, used, limit int64) LimitStatus {
	l := LimitStatus{Name: name, Unit: unit, Used: used, Limit: limit, Percent: Float(100 * float64(used) / float64(limit))}
	l.setHighest(used)
	return l
}

func (l *LimitStatus) setHighest(used int64) {
	l.Highest, l.HighestPercent = used, Float(100*float64(used)/float64(l.Limit))
}

// maxHolders bounds the listed accounts of a pool. Who takes what is everyone's is among the
// first.
const maxHolders = 10

func pools(all []*account.Pool) (list []PoolStatus) {
	for _, pool := range all {
		s := pool.Status()
		status := PoolStatus{Pool: s.Name, Total: s.Total, Reserve: s.Reserve, Used: s.Used, Waiting: s.Waiting, WaitingSince: s.WaitingSince.UTC(), Revoked: s.Revoked, Evicted: s.Evicted, EvictedAt: s.EvictedAt.UTC()}
		if s.Unit > 1 {
			status.Unit = "bytes"
		}
		for _, h := range pool.Top(maxHolders) {
			status.Largest = append(status.Largest, PoolHolder{Account: printable(h.Account), Network: h.Network, Used: h.Used, Known: h.Proved})
		}
		list = append(list, status)
	}
	return list
}

const maxHubs = 20

func (o *Observer) watchStatus(s *State) WatchStatus {
	w := WatchStatus{
		Running: s.Watches, Limit: s.MaxWatches,
		Waiting: o.Metrics.Watches.Waiting.Load(), Hubs: o.Metrics.Watches.Hubs.Load(),
	}
	if s.Shared == nil {
		return w
	}
	for _, h := range s.Shared.TopHubs(maxHubs) {
		w.Largest = append(w.Largest, Hub{Key: printable(shorten(h.Key)), Recursive: h.Recursive, Watchers: h.Watchers, Index: h.Index, Buffered: h.Events})
	}
	return w
}

func (o *Observer) sharing(status *Status) Sharing {
	sharing := Sharing{
		Reads: o.Metrics.SharedReads.Load(), Events: o.Metrics.Watches.Delivered.Load(), Misses: o.Metrics.Watches.Misses.Load(),
		ReadsPercent: missing, WatchersPerHub: missing,
	}
	if reads := status.Totals.Reads; reads > 0 {
		sharing.ReadsPercent = Float(100 * float64(min(sharing.Reads, reads)) / float64(reads))
	}
	if hubs := status.Watches.Hubs; hubs > 0 {
		sharing.WatchersPerHub = Float(float64(status.Watches.Waiting) / float64(hubs))
	}
	return sharing
}

func certificates(g *certs.Generation, now time.Time) (list []CertificateStatus) {
	for _, c := range append(g.Certificates(), g.RevocationLists()...) {
		list = append(list, CertificateStatus{Role: c.Role, Subject: printable(c.Subject), NotAfter: c.NotAfter.UTC(), Seconds: int64(c.NotAfter.Sub(now).Seconds())})
	}
	return list
}

func (c *counter) decisions() Decisions {
	return Decisions{
		ReadsAllowed: c.allowed[acl.Read].Load(), ReadsRefused: c.refused[acl.Read].Load(),
		WritesAllowed: c.allowed[acl.Write].Load(), WritesRefused: c.refused[acl.Write].Load(),
	}
}

func (d *Decisions) sum() uint64 {
	return d.ReadsAllowed + d.ReadsRefused + d.WritesAllowed + d.WritesRefused
}

// maxRows bounds the listed rules and users. No one reads more, and a table of ten
// thousand rules would be sent every two seconds.
const maxRows = 500

func (d *DecisionCounts) ruleStatus() (list []RuleStatus, leftOut int) {
	rules := d.written()
	counts := make(map[*acl.Rule]Decisions, len(rules))
	for _, rule := range rules {
		counts[rule] = d.byRule[rule.Prefix].decisions()
	}
	if leftOut = max(0, len(rules)-maxRows); leftOut > 0 {
		busiest := slices.Clone(rules)
		slices.SortStableFunc(busiest, func(a, b *acl.Rule) int {
			x, y := counts[a], counts[b]
			return cmp.Compare(y.sum(), x.sum())
		})
		for _, rule := range busiest[maxRows:] {
			delete(counts, rule)
		}
	}
	for _, rule := range rules {
		if decisions, ok := counts[rule]; ok {
			list = append(list, RuleStatus{Prefix: printable(string(rule.Prefix)), Read: groupStatus(rule.Read), Write: groupStatus(rule.Write), Decisions: decisions})
		}
	}
	return list, leftOut
}

const maxGroupUsers = 20

func groupStatus(g acl.Group) GroupStatus {
	users := g.Names()
	leftOut := max(0, len(users)-maxGroupUsers)
	users = users[:len(users)-leftOut]
	for i := range users {
		users[i] = printable(users[i])
	}
	return GroupStatus{Everyone: g.IsEveryone(), Users: users, LeftOut: leftOut}
}

func (d *DecisionCounts) userStatus() (list []UserStatus, leftOut int) {
	add := func(name string, known gate.Known, others bool, c *counter) {
		if decisions := c.decisions(); decisions.sum() > 0 {
			list = append(list, UserStatus{User: printable(name), Known: known.String(), Others: others, Decisions: decisions})
		}
	}
	for name, c := range d.byUser {
		add(name, gate.ByPassword, false, c)
	}
	for name, c := range d.byName.all() {
		add(name, gate.ByCertificate, false, c)
	}
	add("", gate.ByCertificate, true, &d.byName.others)
	add("", gate.Anonymous, false, d.anonymous)
	slices.SortFunc(list, func(a, b UserStatus) int {
		return cmp.Or(cmp.Compare(b.sum(), a.sum()), cmp.Compare(a.User, b.User), cmp.Compare(a.Known, b.Known))
	})
	leftOut = max(0, len(list)-maxRows)
	return list[:len(list)-leftOut], leftOut
}
