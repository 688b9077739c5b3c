package proxy

import (
	"cmp"
	"context"
	"time"

	"etcd-tlsproxy/proxy/lane"
)

// probeEvery is the default of [Options.ProbeEvery]. It is how late the outage of an idle proxy
// can be noticed, and costs each member three small reads.
const probeEvery = 5 * time.Second

// probe observes etcd until ctx ends. Requests show whether etcd answers, but an idle proxy has
// none: it would notice neither that etcd is away nor that it is back, and two outages at night
// would be one.
func (s *Server) probe(ctx context.Context) {
	tick := time.NewTicker(cmp.Or(s.options.ProbeEvery, probeEvery))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.observeEtcd()
		case <-ctx.Done():
			return
		}
	}
}

// observeEtcd records whether etcd answers, unless requests do. One that waits for etcd will
// soon show more than a probe can.
func (s *Server) observeEtcd() {
	snapshot := s.current.Load()
	if s.asking(snapshot) {
		return
	}
	up, failure := s.probeEtcd(snapshot)
	switch outage := s.exchange.Outage; {
	case s.asking(snapshot) || s.current.Load() != snapshot: // the probe says nothing about now
	case up:
		outage.ProbeSucceeded()
	case failure != nil:
		outage.ProbeFailed(append([]any{"found_by", "probe"}, failure...)...)
	}
}

// asking reports whether requests are at etcd.
func (s *Server) asking(snapshot *lane.Snapshot) bool {
	return snapshot.Upstream.Counters().Active.Load() > 0 || s.exchange.Slots.Used() > 0
}

// probeEtcd reports whether etcd can serve everything. If it can serve nothing, failure
// describes why, for the log. A v3 store observes etcd all the time, and a probe of its members
// would cost the hash of a password.
func (s *Server) probeEtcd(snapshot *lane.Snapshot) (up bool, failure []any) {
	if o := snapshot.Origin; o != nil {
		switch store := o.Store.Status(); {
		case !store.Serving:
			return false, []any{"endpoint", store.Endpoint, "error", store.Reason}
		default:
			return store.Session && store.Behind == 0, nil
		}
	}
	etcd := s.observer.Members(snapshot.Upstream)
	answers := false
	for i := range etcd.Endpoints {
		e := &etcd.Endpoints[i]
		up = up || e.Health == "up"
		answers = answers || e.Health != "down" || !e.Silent()
	}
	if answers {
		return up, nil // without a leader plain reads are still served
	}
	return false, []any{"endpoint", etcd.Endpoints[0].Endpoint, "error", etcd.Endpoints[0].Error}
}
