package proxy

import (
	"cmp"
	"runtime"
	"slices"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/share"
)

// Status reports what goes on. It asks etcd's members how they are, if that was not
// done in the last seconds, and waits for them no longer than a second.
func (s *Server) Status() *Status {
	snapshot := s.snapshot.Load()
	status := &Status{
		State: "serving", ReadOnly: snapshot.ReadOnly,
		Totals: s.totals(), Windows: s.samples.summary(), History: s.samples.columns(),
		Connections:  Connections{Open: s.open.Load(), Limit: s.options.Connections},
		Watches:      s.watching(snapshot.Watches),
		Upstream:     s.members.look(snapshot.Upstream),
		Refusals:     s.refusals.status(),
		Certificates: certificates(snapshot, time.Now()),
		Memory:       s.memory.status(),
	}
	if s.Draining() {
		status.State = "draining"
	}
	status.Sharing = s.sharing(status)
	status.Rules, status.RulesLeftOut = snapshot.tallies.ruleStatus()
	status.Users, status.UsersLeftOut = snapshot.tallies.userStatus()
	return status
}

func (s *Server) totals() Totals {
	t := &s.traffic
	return Totals{
		Reads: t.reads.Load(), Writes: t.writes.Load(), Watches: t.watches.Load(),
		Refused: t.refused.Load(), Failed: t.failed.Load(), Bytes: t.bytes.Load(), Events: s.metrics.Watches.Fanned.Load(),
	}
}

const mostHubs = 20

func (s *Server) watching(shared *share.Watches) Watching {
	w := Watching{
		Running: s.watches.count(), Limit: s.options.Watches,
		Waiting: s.metrics.Watches.Waiting.Load(), Hubs: s.metrics.Watches.Hubs.Load(),
	}
	if shared == nil {
		return w
	}
	for _, h := range shared.Largest(mostHubs) {
		w.Largest = append(w.Largest, Hub{Key: printable(shorten(h.Key)), Recursive: h.Recursive, Watchers: h.Watchers, Index: h.Index, Remember: h.Events})
	}
	return w
}

func (s *Server) sharing(status *Status) Sharing {
	sharing := Sharing{
		Reads: s.metrics.SharedReads.Load(), Events: s.metrics.Watches.Fanned.Load(), Misses: s.metrics.Watches.Misses.Load(),
		ReadsPercent: none, WatchersPerHub: none,
	}
	if reads := status.Totals.Reads; reads > 0 {
		sharing.ReadsPercent = Point(100 * float64(min(sharing.Reads, reads)) / float64(reads))
	}
	if hubs := status.Watches.Hubs; hubs > 0 {
		sharing.WatchersPerHub = Point(float64(status.Watches.Waiting) / float64(hubs))
	}
	return sharing
}

func (m *memory) status() MemoryStatus {
	live := m.needs().live
	level := [...]string{"free", "short", "full"}[m.level.Load()]
	return MemoryStatus{Live: live, Limit: m.limit, Level: level, Goroutines: runtime.NumGoroutine()}
}

func certificates(s *Snapshot, now time.Time) (list []CertificateStatus) {
	for _, c := range s.Certs.Certificates() {
		list = append(list, CertificateStatus{Role: c.Role, Subject: printable(c.Subject), NotAfter: c.NotAfter.UTC(), Seconds: int64(c.NotAfter.Sub(now).Seconds())})
	}
	return list
}

func (rs *refusals) status() []RefusalStatus {
	list := []RefusalStatus{}
	for _, r := range rs.latest() {
		client := "unix socket"
		if r.client.IsValid() {
			client = r.client.String()
		}
		surface := ""
		if r.path != "" { // else it is not known where it lies
			surface = r.surface.String()
		}
		list = append(list, RefusalStatus{
			Time: r.last.UTC(), First: r.first.UTC(), Times: r.times, Client: client, User: printable(r.user), Known: r.known.String(),
			Method: methodLabels[methodLabel(r.method)], Surface: surface, Path: r.path, Key: printable(r.key), Rule: printable(string(r.rule)),
			Status: r.refusal.Status, Reason: r.refusal.Reason, Cause: r.refusal.Cause,
		})
	}
	return list
}

func (t *tally) decisions() Decisions {
	return Decisions{
		ReadsAllowed: t.allowed[acl.Read].Load(), ReadsRefused: t.refused[acl.Read].Load(),
		WritesAllowed: t.allowed[acl.Write].Load(), WritesRefused: t.refused[acl.Write].Load(),
	}
}

func (d *Decisions) sum() uint64 {
	return d.ReadsAllowed + d.ReadsRefused + d.WritesAllowed + d.WritesRefused
}

// mostRows bounds what is told of rules and of users: more nobody reads, and a table
// of ten thousand would be sent every two seconds.
const mostRows = 500

func (ts *tallies) ruleStatus() (list []RuleStatus, leftOut int) {
	rules := ts.rules.All()
	counts := make(map[*acl.Rule]Decisions, len(rules))
	for _, rule := range rules {
		counts[rule] = ts.byRule[rule.Prefix].decisions()
	}
	if leftOut = max(0, len(rules)-mostRows); leftOut > 0 {
		busiest := slices.Clone(rules)
		slices.SortStableFunc(busiest, func(a, b *acl.Rule) int {
			x, y := counts[a], counts[b]
			return cmp.Compare(y.sum(), x.sum())
		})
		for _, rule := range busiest[mostRows:] {
			delete(counts, rule)
		}
	}
	for _, rule := range rules {
		if decisions, ok := counts[rule]; ok {
			list = append(list, RuleStatus{Prefix: printable(string(rule.Prefix)), Read: who(rule.Read), Write: who(rule.Write), Decisions: decisions})
		}
	}
	return list, leftOut
}

const mostOfGroup = 20

func who(g acl.Group) Who {
	names := g.Names()
	leftOut := max(0, len(names)-mostOfGroup)
	names = names[:len(names)-leftOut]
	for i := range names {
		names[i] = printable(names[i])
	}
	return Who{Everyone: g.IsEveryone(), Users: names, LeftOut: leftOut}
}

func (ts *tallies) userStatus() (list []UserStatus, leftOut int) {
	add := func(name string, known Known, others bool, t *tally) {
		if d := t.decisions(); d.sum() > 0 {
			list = append(list, UserStatus{User: printable(name), Known: known.String(), Others: others, Decisions: d})
		}
	}
	for name, t := range ts.byUser {
		add(name, ByPassword, false, t)
	}
	for name, t := range ts.byName.all() {
		add(name, ByCertificate, false, t)
	}
	add("", ByCertificate, true, &ts.byName.others)
	add("", Anonymous, false, ts.anonymous)
	slices.SortFunc(list, func(a, b UserStatus) int {
		return cmp.Or(cmp.Compare(b.sum(), a.sum()), cmp.Compare(a.User, b.User), cmp.Compare(a.Known, b.Known))
	})
	leftOut = max(0, len(list)-mostRows)
	return list[:len(list)-leftOut], leftOut
}
