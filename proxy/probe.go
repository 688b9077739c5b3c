package proxy

import (
	"cmp"
	"context"
	"time"

	"etcd-tlsproxy/proxy/lane"
)

// probeEvery is the default of [Options.ProbeEvery]. It is how late an outage without answers
// to requests can be noticed, and costs each member three small reads.
const probeEvery = 5 * time.Second

// probing is what is known at a tick about the time before it.
type probing struct {
	*Server
	every    time.Duration
	probed   time.Time // the last probe
	answered time.Time // when etcd last answered a request, or had none to answer
}

// probe observes etcd until ctx ends. Requests show whether etcd answers, but an idle proxy has
// none: it would notice neither that etcd is away nor that it is back, and two outages at night
// would be one. Requests to an etcd that hangs show it only at their timeout.
func (s *Server) probe(ctx context.Context) {
	p := &probing{Server: s, every: cmp.Or(s.options.ProbeEvery, probeEvery)}
	p.probed, p.answered = time.Now(), time.Now()
	tick := time.NewTicker(p.every / ticksPerProbe)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.tick(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// ticksPerProbe is how many times as often an idle proxy probes in an outage: two outages that
// are a few seconds apart are two.
const ticksPerProbe = 5

// tick probes etcd if that is due. While etcd answers requests, these show more than a probe.
func (p *probing) tick(now time.Time) {
	snapshot, outage := p.current.Load(), p.exchange.Outage
	idle := p.waiting(snapshot) == 0
	if outage.Listen() || idle {
		p.answered = now
	}
	pause := p.every - p.every/(2*ticksPerProbe) // ticks are not exact
	switch {
	case idle && outage.Active():
	case idle && now.Sub(p.probed) >= pause:
	case !idle && now.Sub(p.answered) >= pause && now.Sub(p.probed) >= pause:
	default:
		return
	}
	p.probed = now
	up, failure := p.probeEtcd(snapshot, !idle)
	switch {
	case snapshot.Origin != nil:
		outage.Heard(snapshot.Origin.Store.Heard())
	case up:
		outage.Heard(now) // the beginning of the probe
	}
	switch still := p.waiting(snapshot); {
	case p.current.Load() != snapshot || !outage.Silent() || idle && still > 0: // the probe says nothing about now
	case failure != nil && idle:
		outage.ProbeFailed(append([]any{"found_by", "probe"}, failure...)...)
	case failure != nil && still > 0:
		silence := time.Since(outage.Answered()).Round(time.Second).String()
		outage.ProbeFailed(append([]any{"found_by", "probe", "waiting", still, "no_answer_for", silence}, failure...)...)
	case up && idle:
		outage.ProbeSucceeded()
	}
}

// waiting returns the number of requests that are at etcd.
func (s *Server) waiting(snapshot *lane.Snapshot) int64 {
	return max(snapshot.Upstream.Counters().Active.Load(), s.exchange.Slots.Used())
}

// probeEtcd reports whether etcd can serve everything. If it can serve nothing, failure
// describes why, for the log. A v3 store observes etcd all the time, and a probe of its members
// would cost the hash of a password, unless requests wait for an etcd that seems to hang.
func (s *Server) probeEtcd(snapshot *lane.Snapshot, hangs bool) (up bool, failure []any) {
	o := snapshot.Origin
	if o != nil {
		switch store := o.Store.Status(); {
		case !store.Serving:
			return false, []any{"endpoint", store.Endpoint, "error", store.Reason}
		case !hangs:
			return store.Session && store.Behind == 0, nil
		}
	}
	etcd := s.observer.MembersNow(snapshot.Upstream)
	answers := false
	for i := range etcd.Endpoints {
		e := &etcd.Endpoints[i]
		up = up || e.Health == "up"
		answers = answers || e.Health != "down" || o == nil && !e.Silent()
	}
	if answers {
		return up, nil // without a leader plain reads are still served
	}
	return false, []any{"endpoint", etcd.Endpoints[0].Endpoint, "error", etcd.Endpoints[0].Error}
}
