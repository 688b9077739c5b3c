package observe

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// collector exports what the status shows and no counter holds: etcd's members, the
// decisions about each rule and each user, and the use of limits. It reads the state at
// each scrape.
type collector struct {
	source atomic.Pointer[source] // nil until a server exists
	limits atomic.Pointer[map[string]float64]

	endpointUp, endpointLeader, endpointProbe *prometheus.Desc
	endpointSince, upstreamSince, emptying    *prometheus.Desc
	byRule, byUser                            *prometheus.Desc
	limit, limitUsed, limitHighest            *prometheus.Desc
	poolUsed, poolTotal, poolWaiting          *prometheus.Desc
	poolRevoked                               *prometheus.Desc
	memoryHeld, memoryTaken, logFailing       *prometheus.Desc

	store      *storeCollector
	changeover *changeoverCollector
	shadow     *shadowCollector
}

// source is where the state comes from.
type source struct {
	observer *Observer
	read     func() State
}

func (c *collector) setSource(o *Observer, read func() State) { c.source.Store(&source{o, read}) }

func newCollector() *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("etcd_tlsproxy_"+name, help, labels, nil)
	}
	c := &collector{
		endpointUp:     desc("upstream_endpoint_up", "1 if the endpoint answers and belongs to a cluster with a leader, else 0. Each scrape probes the endpoints, at most every three seconds.", "endpoint"),
		endpointLeader: desc("upstream_endpoint_leader", "1 if the endpoint is the leader, else 0.", "endpoint"),
		endpointProbe:  desc("upstream_endpoint_probe_seconds", "Time until the endpoint answered the last probe. It is missing if the endpoint did not answer.", "endpoint"),
		endpointSince:  desc("upstream_endpoint_failing_since_timestamp_seconds", "Time at which the endpoint was first found not to be up, by a request or a probe, in seconds since the epoch; 0 while it is up.", "endpoint"),
		upstreamSince:  desc("upstream_failing_since_timestamp_seconds", "Beginning of the outage of etcd: time of its last answer before the first request or probe that failed, or of the start of the proxy, in seconds since the epoch; 0 if there is no outage. It stays the same during an outage."),
		emptying:       desc("emptying_since_timestamp_seconds", "Time at which POST /-/drain began to make clients leave, in seconds since the epoch; 0 while it does not."),
		byRule: desc("rule_decisions_total", "Decisions by the prefix of the rule that decided, access (read, write) and outcome (allowed, refused). "+
			"The first 200 rules of the table have series of their own; the rule other is the sum of the rest.", "rule", "access", "outcome"),
		byUser: desc("user_decisions_total", "Decisions by user, means of identification (password, certificate, anonymous, other), access (read, write) and outcome (allowed, refused). "+
			"The first 200 users have series of their own; known other is the sum of the rest.", "user", "known", "access", "outcome"),
		limit: desc("limit", "Limits in force, by their keys in the table [limits]; durations in seconds, sizes in bytes. "+
			"Without a key are open_files, event_memory and shared_answer_memory; see etcd_tlsproxy_limit_used.", "limit"),
		limitUsed: desc("limit_used", "Use of the limits that can be reached, in the unit of the limit: connections, watches, upstream_requests, body_memory and memory; "+
			"address_connections and user_watches of the address and the user that have the most; open_files of the process; event_memory for events of shared watches, and shared_answer_memory for answers to shared reads. Limits that are off are missing.", "limit"),
		limitHighest: desc("limit_highest", "Highest use of the same limits in the last 10 minutes. That of address_connections, user_watches and open_files is the use at the scrape.", "limit"),
		poolUsed:     desc("pool_used", "Use of what clients share, by pool. connections: open ones. headers: connections of load balancers whose header of the PROXY protocol is awaited. handshakes: those that use the processor at the moment. logins, suspect_logins: passwords that are hashed, and those of suspect addresses, each with the pause after a failure. requests: those that etcd carries out. proposals: those of them that need its leader, which are writes, quorum reads and checks of its health. large_answers: bytes of large answers that etcd works for or sends. trees: reads of trees that are not known to be large, and of a megabyte and more, until their answers begin. watched: bytes of large events, once for each watch at etcd. answers, bodies: bytes that wait for a client, and of large request bodies. streams: memory of open streams of HTTP/2, in bytes. watches: running ones.", "pool"),
		poolTotal:    desc("pool_total", "Totals of what clients share, in the same units.", "pool"),
		poolRevoked:  desc("pool_revoked_total", "Holders in a pool, such as connections, streams or answers, that were made to give back what they held, because others needed it or memory was short.", "pool"),
		memoryHeld:   desc("memory_held_bytes", "Memory that clients hold, as far as it is charged to them: connections, streams of HTTP/2, bodies and answers."),
		memoryTaken:  desc("memory_taken_back_bytes_total", "Memory that was taken back from clients because it was short: first from clients above their share, then what makes no progress."),
		logFailing:   desc("log_failing", "1 while records of a log (access, audit) are lost: because it cannot be written, or because its file is not at its path any more and cannot be opened there; else 0.", "log"),
		poolWaiting:  desc("pool_waiting", "Requests or connections that wait for their turn at a pool.", "pool"),

		store: newStoreCollector(), changeover: newChangeoverCollector(), shadow: newShadowCollector(),
	}
	c.limits.Store(&map[string]float64{})
	return c
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.endpointUp, c.endpointLeader, c.endpointProbe, c.endpointSince, c.upstreamSince, c.emptying, c.byRule, c.byUser, c.limit, c.limitUsed, c.limitHighest, c.poolUsed, c.poolTotal, c.poolWaiting,
		c.poolRevoked, c.memoryHeld, c.memoryTaken, c.logFailing} {
		descs <- d
	}
	c.store.describe(descs)
	c.changeover.describe(descs)
	c.shadow.describe(descs)
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	from := c.source.Load()
	if from == nil {
		return
	}
	s := from.read()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	upstream := from.observer.Members(s.Upstream)
	for i := range upstream.Endpoints {
		e := &upstream.Endpoints[i]
		gauge(c.endpointUp, one(e.Health == "up"), e.Endpoint)
		gauge(c.endpointLeader, one(e.Role == "leader"), e.Endpoint)
		gauge(c.endpointSince, timestamp(e.Since), e.Endpoint)
		if e.Took == e.Took { // it is not missing
			gauge(c.endpointProbe, float64(e.Took)/1000, e.Endpoint)
		}
	}
	upstream.addOutage(&s)
	gauge(c.upstreamSince, timestamp(upstream.Since))
	gauge(c.emptying, timestamp(s.EmptyingSince))
	configured := *c.limits.Load()
	from.observer.samples.addHighest(s.Limits)
	for _, limit := range s.Limits {
		gauge(c.limitUsed, float64(limit.Used), limit.Name)
		gauge(c.limitHighest, float64(limit.Highest), limit.Name)
		if _, ok := configured[limit.Name]; !ok {
			gauge(c.limit, float64(limit.Limit), limit.Name)
		}
	}
	for name, value := range configured {
		gauge(c.limit, value, name)
	}
	for _, pool := range s.Pools {
		status := pool.Status()
		gauge(c.poolUsed, float64(status.Used), status.Name)
		gauge(c.poolTotal, float64(status.Total), status.Name)
		gauge(c.poolWaiting, float64(status.Waiting), status.Name)
		out <- prometheus.MustNewConstMetric(c.poolRevoked, prometheus.CounterValue, float64(status.Revoked), status.Name)
	}
	for _, log := range []*Log{from.observer.Records.Access, from.observer.Records.Audit} {
		gauge(c.logFailing, one(log.Failing()), log.name)
	}
	gauge(c.memoryHeld, float64(s.Memory.Held))
	out <- prometheus.MustNewConstMetric(c.memoryTaken, prometheus.CounterValue, float64(s.Memory.Taken))
	for i := range s.Stores {
		c.store.collect(out, &s.Stores[i], s.Written.Total())
	}
	for i := range s.Changeovers {
		c.changeover.collect(out, &s.Changeovers[i])
	}
	for i := range s.Shadows {
		c.shadow.collect(out, &s.Shadows[i])
	}
	c.collectRules(out, s.Counts)
	c.collectUsers(out, s.Counts)
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// timestamp returns a time in seconds since the epoch, and 0 for the zero time.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// maxSeries bounds the rules and the users that have series of their own. They are chosen
// by their order and not by their counts, so that no counter goes back.
const maxSeries = 200

func (c *collector) collectRules(out chan<- prometheus.Metric, counts *DecisionCounts) {
	var rest Decisions
	rules := counts.written()
	for i, rule := range rules {
		decisions := counts.byRule[rule.Prefix].decisions()
		if i < maxSeries {
			send(out, c.byRule, &decisions, printable(string(rule.Prefix)))
		} else {
			rest.add(&decisions)
		}
	}
	if len(rules) > maxSeries {
		send(out, c.byRule, &rest, "other")
	}
}

// namedCounter is the counter of a user.
type namedCounter struct {
	name  string
	known gate.Known
	*counter
}

func (c *collector) collectUsers(out chan<- prometheus.Metric, counts *DecisionCounts) {
	var users []namedCounter
	for name, counter := range counts.byUser {
		users = append(users, namedCounter{name, gate.ByPassword, counter})
	}
	for name, counter := range counts.byName.all() {
		users = append(users, namedCounter{name, gate.ByCertificate, counter})
	}
	slices.SortFunc(users, func(a, b namedCounter) int { return cmp.Or(cmp.Compare(a.known, b.known), cmp.Compare(a.name, b.name)) })
	rest := counts.byName.others.decisions()
	for i, user := range users {
		decisions := user.decisions()
		if i < maxSeries {
			send(out, c.byUser, &decisions, printable(user.name), user.known.String())
		} else {
			rest.add(&decisions)
		}
	}
	send(out, c.byUser, &rest, "", "other")
	anonymous := counts.anonymous.decisions()
	send(out, c.byUser, &anonymous, "", gate.Anonymous.String())
}

func (d *Decisions) add(other *Decisions) {
	d.ReadsAllowed += other.ReadsAllowed
	d.ReadsRefused += other.ReadsRefused
	d.WritesAllowed += other.WritesAllowed
	d.WritesRefused += other.WritesRefused
}

func send(out chan<- prometheus.Metric, d *prometheus.Desc, decisions *Decisions, labels ...string) {
	for _, series := range []struct {
		access  acl.Access
		outcome string
		n       uint64
	}{
		{acl.Read, "allowed", decisions.ReadsAllowed}, {acl.Read, "refused", decisions.ReadsRefused},
		{acl.Write, "allowed", decisions.WritesAllowed}, {acl.Write, "refused", decisions.WritesRefused},
	} {
		values := append(slices.Clone(labels), series.access.String(), series.outcome)
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(series.n), values...)
	}
}
