package proxy

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// Metrics is every figure the proxy exports, on a registry of its own. Labels
// come from closed sets: never a key, a user or an address.
type Metrics struct {
	Registry *prometheus.Registry

	requests    *prometheus.CounterVec
	requestsBy  [len(surfaceNames)][len(methodLabels)][len(codeLabels)]atomic.Pointer[prometheus.Counter]
	duration    *prometheus.HistogramVec
	durationBy  [2]prometheus.Observer // by acl.Access
	decisions   *prometheus.CounterVec
	allowedBy   [len(surfaceNames)]prometheus.Counter
	logins      *prometheus.CounterVec
	remembered  prometheus.Counter
	connections prometheus.Gauge
	turnedAway  *prometheus.CounterVec
	shed        prometheus.Counter
	memoryLevel prometheus.Gauge
	handedOver  prometheus.Counter
	handshakes  *prometheus.CounterVec
	watches     prometheus.Gauge
	watchEnds   map[string]prometheus.Counter // by reason

	// SharedReads counts the reads that etcd was not asked for.
	SharedReads atomic.Uint64
	// Watches is for shared watches, of all pools.
	Watches *share.WatchCounters
	// Upstream is for the pools of connections to etcd: one follows the other when
	// the endpoints change, and the figures go on.
	Upstream         *upstream.Counters
	upstreamFailures *prometheus.CounterVec

	certificate *prometheus.GaugeVec
	reloads     *prometheus.CounterVec
	reloadOK    prometheus.Gauge
	reloadTime  prometheus.Gauge
	refreshes   *prometheus.CounterVec
}

// NewMetrics registers all metrics of a proxy of the given version.
func NewMetrics(version string) *Metrics {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := promauto.With(reg)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "etcd_tlsproxy_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "etcd_tlsproxy_" + name, Help: help})
	}
	m := &Metrics{
		Registry:  reg,
		requests:  counter("requests_total", "Answered requests by surface, method and status.", "surface", "method", "code"),
		decisions: counter("decisions_total", "Decisions of the gate by surface and outcome; the outcome is allowed or the reason of the refusal.", "surface", "outcome"),
		logins:    counter("logins_total", "Identities asked for, by means (password, certificate, anonymous) and result (ok, remembered, failed, throttled, busy, none).", "means", "result"),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "etcd_tlsproxy_request_duration_seconds", Help: "Time from a request's head to the last byte of its answer; watches are left out.",
			Buckets: []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"access"}),
		connections:      gauge("connections", "Open connections of clients."),
		turnedAway:       counter("connections_refused_total", "Connections closed at once by reason: the limit on all (connections), on one address or its handshakes (address), or memory.", "reason"),
		shed:             f.NewCounter(prometheus.CounterOpts{Name: "etcd_tlsproxy_connections_shed_total", Help: "Silent connections that were ended to make room for others."}),
		memoryLevel:      gauge("memory_pressure", "0 while there is memory, 1 while reads are refused for want of it, 2 while all is."),
		handedOver:       f.NewCounter(prometheus.CounterOpts{Name: "etcd_tlsproxy_connections_handed_over_total", Help: "Connections that left the fast lane for the standard one."}),
		handshakes:       counter("handshakes_total", "TLS handshakes by result (full, resumed, failed, timeout, plain_http).", "result"),
		watches:          gauge("watches", "Running watches."),
		watchEnds:        make(map[string]prometheus.Counter),
		Watches:          &share.WatchCounters{},
		Upstream:         &upstream.Counters{},
		upstreamFailures: counter("upstream_failures_total", "Requests that etcd did not answer, by kind (unreachable, busy, too_long, lost, broken, timeout).", "kind"),
		certificate:      f.NewGaugeVec(prometheus.GaugeOpts{Name: "etcd_tlsproxy_certificate_not_after_timestamp_seconds", Help: "When the first certificate of a role (server, client_ca) expires, in seconds since the epoch."}, []string{"role"}),
		reloads:          counter("config_reloads_total", "Attempts to take over changed files by result (ok, failed).", "result"),
		reloadOK:         gauge("config_last_reload_successful", "1 if the last attempt to take over changed files succeeded, else 0: the old state serves on."),
		reloadTime:       gauge("config_last_reload_success_timestamp_seconds", "When the configuration in force was taken over, in seconds since the epoch."),
	}
	m.refreshes = counter("srv_refreshes_total", "Attempts to find etcd's endpoints in DNS again by result (ok, failed: the old ones serve on).", "result")
	ends := counter("watches_ended_total", "Ended watches by reason (event, client, upstream, refused, revoked, drain).", "reason")
	for _, reason := range []string{"event", "client", "upstream", "refused", "revoked", "drain"} {
		m.watchEnds[reason] = ends.WithLabelValues(reason)
	}
	m.exportPool(f)
	m.exportWatches(f)
	m.remembered = m.logins.WithLabelValues(ByPassword.String(), "remembered")
	for s, name := range surfaceNames {
		m.allowedBy[s] = m.decisions.WithLabelValues(name, "allowed")
	}
	for i, access := range []string{"read", "write"} {
		m.durationBy[i] = m.duration.WithLabelValues(access)
	}
	for _, result := range []string{"ok", "failed"} {
		m.reloads.WithLabelValues(result)
		m.refreshes.WithLabelValues(result)
	}
	f.NewGaugeVec(prometheus.GaugeOpts{Name: "etcd_tlsproxy_build_info", Help: "Always 1; the labels say what runs."},
		[]string{"version", "goversion"}).WithLabelValues(version, runtime.Version()).Set(1)
	return m
}

// exportPool exports what the pool and those who share it count.
func (m *Metrics) exportPool(f promauto.Factory) {
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "etcd_tlsproxy_shared_reads_total", Help: "Reads that were answered by a request to etcd which answered others, too.",
	}, func() float64 { return float64(m.SharedReads.Load()) })
	const events = "What happened in the pool of connections to etcd: dial, dial_failed, reuse, stale (found closed), retry."
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

// exportWatches exports what shared watches count.
func (m *Metrics) exportWatches(f promauto.Factory) {
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "etcd_tlsproxy_watch_hubs", Help: "Watches at etcd that are shared by all who watch the same.",
	}, func() float64 { return float64(m.Watches.Hubs.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "etcd_tlsproxy_watch_hub_watchers", Help: "Watches of clients that wait in a hub.",
	}, func() float64 { return float64(m.Watches.Waiting.Load()) })
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "etcd_tlsproxy_watch_events_fanned_out_total", Help: "Events handed to watchers, counted once for each.",
	}, func() float64 { return float64(m.Watches.Fanned.Load()) })
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "etcd_tlsproxy_watch_ring_misses_total", Help: "Watches whose waitIndex was older than what is remembered here, so that etcd was asked.",
	}, func() float64 { return float64(m.Watches.Misses.Load()) })
	took := f.NewHistogram(prometheus.HistogramOpts{
		Name: "etcd_tlsproxy_watch_fan_out_duration_seconds", Help: "Time from an event's arrival to the last byte handed to the kernel for its last watcher.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	})
	m.Watches.Took = func(d time.Duration) { took.Observe(d.Seconds()) }
}

func (m *Metrics) decision(op *Operation, refusal *Refusal) {
	if refusal == nil {
		m.allowedBy[op.Surface].Inc()
		return
	}
	m.decisions.WithLabelValues(op.Surface.String(), refusal.Reason).Inc()
}

// answered counts one answered request.
func (m *Metrics) answered(op *Operation, status int, took time.Duration) {
	m.requestCounter(op, status).Inc()
	if !op.Watch {
		m.durationBy[op.Access].Observe(took.Seconds())
	}
}

// requestCounter looks a counter up without building its label set each time.
func (m *Metrics) requestCounter(op *Operation, status int) prometheus.Counter {
	method, code := methodLabel(op.Method), codeLabel(status)
	at := &m.requestsBy[op.Surface][method][code]
	if c := at.Load(); c != nil {
		return *c
	}
	c := m.requests.WithLabelValues(op.Surface.String(), methodLabels[method], codeLabels[code])
	at.Store(&c)
	return c
}

// Reloaded records an attempt to take over changed files.
func (m *Metrics) Reloaded(s *Snapshot, err error) {
	if err != nil {
		m.reloads.WithLabelValues("failed").Inc()
		m.reloadOK.Set(0)
		return
	}
	m.reloads.WithLabelValues("ok").Inc()
	m.reloadOK.Set(1)
	m.reloadTime.SetToCurrentTime()
	m.certificate.Reset()
	first := map[string]time.Time{}
	for _, c := range s.Certs.Certificates() {
		if t, seen := first[c.Role]; !seen || c.NotAfter.Before(t) {
			first[c.Role] = c.NotAfter
		}
	}
	for role, t := range first {
		m.certificate.WithLabelValues(role).Set(float64(t.Unix()))
	}
}

// Refreshed records an attempt to find etcd's endpoints in DNS again.
func (m *Metrics) Refreshed(err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.refreshes.WithLabelValues(result).Inc()
}
