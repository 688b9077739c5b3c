package observe

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// exportLogins makes a series for each result of a login, so that the first failure is an
// increase of its series.
func (m *Metrics) exportLogins(logins *prometheus.CounterVec) {
	for l := range m.loginsBy {
		if login := gate.Login(l); login != gate.LoginUnneeded {
			m.loginsBy[l] = logins.WithLabelValues(login.Means().String(), login.Result(), login.Reason())
		}
	}
}

// exportPool exports the counters of the connection pools to etcd.
func (m *Metrics) exportPool(f promauto.Factory) {
	durations := f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "etcd_tlsproxy_upstream_duration_seconds",
		Help: "Time that etcd took for a request, from its sending to the end of the answer, or until it was given up. " +
			"Each request to etcd counts once, however many clients it answers. Watches, probes and waits for a turn are not counted, nor the time that a client takes to receive a large answer.",
		Buckets: durationBuckets,
	}, []string{"access"})
	by := [...]prometheus.Observer{acl.Read: durations.WithLabelValues("read"), acl.Write: durations.WithLabelValues("write")}
	m.Upstream.ObserveAnswer = func(write bool, d time.Duration) {
		access := acl.Read
		if write {
			access = acl.Write
		}
		by[access].Observe(d.Seconds())
		m.upstreamTimes[access].observe(d)
	}
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "etcd_tlsproxy_shared_reads_total", Help: "Reads answered by a request to etcd that also answered other reads.",
	}, func() float64 { return float64(m.SharedReads.Load()) })
	const events = "Events in the pool of connections to etcd: dial, dial_failed, reuse, stale (found closed), retry."
	for event, n := range map[string]*atomic.Uint64{
		"dial": &m.Upstream.Dials, "dial_failed": &m.Upstream.DialFailures, "reuse": &m.Upstream.Reuses,
		"stale": &m.Upstream.Stale, "retry": &m.Upstream.Retries,
	} {
		f.NewCounterFunc(prometheus.CounterOpts{
			Name: "etcd_tlsproxy_upstream_events_total", Help: events, ConstLabels: prometheus.Labels{"event": event},
		}, func() float64 { return float64(n.Load()) })
	}
	const connections = "Connections to etcd by state (active, watch, idle)."
	for state, n := range map[string]*atomic.Int64{"active": &m.Upstream.Active, "watch": &m.Upstream.Watching, "idle": &m.Upstream.Idle} {
		f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "etcd_tlsproxy_upstream_connections", Help: connections, ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(n.Load()) })
	}
}

// exportWatches exports the counters of shared watches.
func (m *Metrics) exportWatches(f promauto.Factory) {
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "etcd_tlsproxy_watch_hubs", Help: "Watches at etcd, each shared by all clients that watch the same key.",
	}, func() float64 { return float64(m.Watches.Hubs.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "etcd_tlsproxy_watch_hub_watchers", Help: "Watches of clients that wait for the event of a shared watch.",
	}, func() float64 { return float64(m.Watches.Waiting.Load()) })
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "etcd_tlsproxy_watch_events_fanned_out_total", Help: "Events sent to watchers, counted once for each watcher.",
	}, func() float64 { return float64(m.Watches.Delivered.Load()) })
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "etcd_tlsproxy_watch_ring_misses_total", Help: "Watches whose waitIndex was older than the events in memory, so that etcd had to answer.",
	}, func() float64 { return float64(m.Watches.Misses.Load()) })
	delivery := f.NewHistogram(prometheus.HistogramOpts{
		Name: "etcd_tlsproxy_watch_fan_out_duration_seconds", Help: "Time from the arrival of an event to the last byte handed to the kernel for its last watcher.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	})
	m.Watches.ObserveDelivery = func(d time.Duration) { delivery.Observe(d.Seconds()) }
}
