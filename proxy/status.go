package proxy

import (
	"os"
	"syscall"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
)

func (s *Server) gauges() observe.Gauges {
	live := s.memory.read().live
	return observe.Gauges{Watches: int64(s.exchange.Watches.Count()), Connections: s.connections.Used(), Memory: live, Limits: s.peaks(live)}
}

// peaks returns the highest use of limits since the last sample, as far as it costs next to
// nothing: that of pools, and the present use of others. To count files, or what each address
// has, would take too long so often.
func (s *Server) peaks(live uint64) []observe.LimitUse {
	snapshot := s.current.Load()
	counters := snapshot.Upstream.Counters()
	list := []observe.LimitUse{
		{Name: "connections", Used: s.connections.Peak()},
		{Name: "watches", Used: s.exchange.Watches.Pool.Peak()},
		{Name: "upstream_requests", Used: max(counters.Active.Load(), s.exchange.Slots.Peak())},
		{Name: "body_memory", Used: s.bodies.Peak()},
		{Name: "shared_answer_memory", Used: counters.Shared.Held()},
		{Name: "memory", Used: int64(live)},
	}
	if snapshot.Watches != nil {
		held, _ := snapshot.Watches.Memory()
		list = append(list, observe.LimitUse{Name: "event_memory", Used: held})
	}
	return list
}

// Status reports the state of the server and of etcd; see [observe.Observer.Status].
func (s *Server) Status() *observe.Status { return s.observer.Status(s.state()) }

func (s *Server) state() observe.State {
	snapshot := s.current.Load()
	var stores []observe.StoreStatus
	if o := snapshot.Origin; o != nil {
		stores = append(stores, observe.StoreStatus(o.Store.Status()))
		s.exchange.Outage.Heard(o.Store.Heard())
	}
	var changeovers []observe.ChangeoverStatus
	if c := snapshot.Changeover; c != nil {
		changeovers = append(changeovers, observe.ChangeoverStatus(c.Status()))
	}
	failing, recovered := s.exchange.Outage.Since()
	return observe.State{
		Stores:          stores,
		Changeovers:     changeovers,
		Shadows:         snapshot.Shadows(),
		Written:         s.exchange.Written,
		UpstreamFailing: failing.UTC(), UpstreamRecovered: recovered.UTC(), UpstreamAnswered: s.exchange.Outage.Answered().UTC(),
		Draining: s.Draining(), EmptyingSince: s.emptyingSince(),
		Policy: &snapshot.Policy, Counts: snapshot.Counts(),
		Connections: observe.Connections{Open: s.connections.Used(), Limit: s.options.MaxConnections},
		Watches:     s.exchange.Watches.Count(), MaxWatches: s.options.MaxWatches,
		Shared: snapshot.Watches, Upstream: snapshot.Upstream,
		Memory: s.memory.status(),
		Pools:  s.accounts.Pools(),
		Limits: s.limits(snapshot),
	}
}

// limits returns the use of the limits that can be reached while clients come and go. Limits
// of one request are left out, and those that are off. So is limits.hash_workers: one worker
// that is busy means nothing, and the pool of logins shows how many wait.
func (s *Server) limits(snapshot *lane.Snapshot) []observe.LimitStatus {
	var all []observe.LimitStatus
	add := func(name, unit string, used, limit int64) {
		if limit > 0 {
			all = append(all, observe.NewLimitStatus(name, unit, used, limit))
		}
	}
	o, pool, memory := &s.options, snapshot.Upstream, s.memory.status()
	add("connections", "", s.connections.Used(), int64(o.MaxConnections))
	if o.MaxAddressConnections > 0 {
		largest := int64(0)
		for _, held := range s.connections.Top(1) {
			largest = held.Used
		}
		add("address_connections", "", largest, int64(o.MaxAddressConnections))
	}
	add("watches", "", int64(s.exchange.Watches.Count()), int64(o.MaxWatches))
	add("user_watches", "", int64(s.exchange.Watches.Largest()), int64(o.MaxUserWatches))
	add("upstream_requests", "", pool.Counters().Active.Load(), int64(pool.MaxRequests()))
	bodies := s.bodies.Status()
	add("body_memory", "bytes", bodies.Used, bodies.Total)
	add("shared_answer_memory", "bytes", pool.Counters().Shared.Held(), pool.MaxMemory())
	if snapshot.Watches != nil {
		held, limit := snapshot.Watches.Memory()
		add("event_memory", "bytes", held, limit)
	}
	add("memory", "bytes", int64(memory.Live), int64(memory.Limit))
	if open, limit, ok := openFiles(); ok {
		add("open_files", "", open, limit)
	}
	return all
}

// openFiles returns the number of open files of this process, and how many it may have.
func openFiles() (open, limit int64, ok bool) {
	var files syscall.Rlimit
	dir, err := os.Open("/dev/fd")
	if err != nil {
		return 0, 0, false
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil || syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil {
		return 0, 0, false
	}
	return int64(len(names)) - 1, int64(min(files.Cur, 1<<62)), true // without dir
}
