package observe

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// Metrics is every metric that the proxy exports, on its own registry. Labels
// come from closed sets, never from a request. Prefixes of rules and names of users come from
// the operators' files, and are bounded in number; see [collector].
type Metrics struct {
	Registry *prometheus.Registry

	requests     *prometheus.CounterVec
	requestsBy   [gate.NumSurfaces][len(methodLabels)][len(codeLabels)]atomic.Pointer[prometheus.Counter]
	duration     *prometheus.HistogramVec
	durationBy   [2]prometheus.Observer // by acl.Access
	decisions    *prometheus.CounterVec
	refusals     *prometheus.CounterVec
	allowedBy    [gate.NumSurfaces][2]prometheus.Counter // by acl.Access
	loginsBy     [gate.NumLogins]prometheus.Counter
	connections  prometheus.Gauge
	refusedConns *prometheus.CounterVec
	shed         prometheus.Counter
	readsDelayed prometheus.Counter
	recordsLost  *prometheus.CounterVec
	memoryLevel  prometheus.Gauge
	handedOver   prometheus.Counter
	handshakes   *prometheus.CounterVec
	collector    *collector

	handshakeFailures *prometheus.CounterVec
	watches           prometheus.Gauge
	watchEnds         map[string]prometheus.Counter // by reason

	// SharedReads counts the reads that needed no request of their own to etcd.
	SharedReads atomic.Uint64
	// Watches is for shared watches through all pools.
	Watches *share.WatchCounters
	// Upstream is for all pools of connections to etcd. A new pool replaces the old one
	// when the endpoints change, and continues its counters.
	Upstream         *upstream.Counters
	upstreamFailures *prometheus.CounterVec
	upstreamTimes    times // for the status

	certificate *prometheus.GaugeVec
	revocations prometheus.Gauge
	reloads     *prometheus.CounterVec
	reloadOK    prometheus.Gauge
	warnings    prometheus.Gauge
	pending     prometheus.Gauge
	reloadTime  prometheus.Gauge
	refreshes   *prometheus.CounterVec
}

// durationBuckets are the same for clients and for etcd, so that the two can be compared.
var durationBuckets = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

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
		decisions: counter("decisions_total", "Decisions of the gate by surface, access (read, write) and outcome. The outcome is allowed, or the reason of the refusal.", "surface", "access", "outcome"),
		refusals:  counter("refusals_total", "Requests that the proxy refused, by access (read, write) and reason, which is the verdict in the logs. Beside the refusals of the gate these are the ones for which a request had its decision already, such as busy for too many watches or requests to etcd, and those of requests that etcd did not answer.", "access", "reason"),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "etcd_tlsproxy_request_duration_seconds", Help: "Time from the head of a request to the last byte of its answer, without watches.",
			Buckets: durationBuckets,
		}, []string{"access"}),
		connections:  gauge("connections", "Open client connections."),
		refusedConns: counter("connections_refused_total", "Client connections closed before their handshake by reason: the limit on all connections (connections), the limits on one address (address), the lack of memory (memory), or a load balancer that sends no valid header of the PROXY protocol (proxy_header).", "reason"),
		shed:         f.NewCounter(prometheus.CounterOpts{Name: "etcd_tlsproxy_connections_shed_total", Help: "Client connections closed to make room for others: idle ones, or of clients above their share."}),
		readsDelayed: f.NewCounter(prometheus.CounterOpts{Name: "etcd_tlsproxy_reads_delayed_total", Help: "Reads from clients that had to wait, because their network sends too much that is no request, such as PINGs of HTTP/2."}),
		recordsLost:  counter("log_records_lost_total", "Records that could not be written to a log (access, audit), or that went to a file that was not at its path any more.", "log"),
		memoryLevel:  gauge("memory_pressure", "0 while there is enough memory, 1 while reads of clients above their share are refused for lack of it, 2 while all requests of these clients are, 3 while all requests are."),
		handedOver:   f.NewCounter(prometheus.CounterOpts{Name: "etcd_tlsproxy_connections_handed_over_total", Help: "Client connections that moved from the fast lane to the standard lane."}),
		handshakes:   counter("handshakes_total", "TLS handshakes by result (full, resumed, failed, timeout, plain_http).", "result"),
		handshakeFailures: counter("handshake_failures_total", "TLS handshakes that failed, by reason (client_gone, timeout, plain_http, no_tls, no_certificate, untrusted_certificate, "+
			"expired_certificate, rejected_by_client, version, cipher, too_large, draining, other). With rejected_by_client the client sent an alert, for example because it does not trust the server's certificate.", "reason"),
		watches:          gauge("watches", "Running watches of clients."),
		watchEnds:        make(map[string]prometheus.Counter),
		Watches:          &share.WatchCounters{},
		Upstream:         &upstream.Counters{},
		upstreamFailures: counter("upstream_failures_total", "Requests that etcd did not answer, by kind (unreachable, busy, too_long, lost, broken, timeout).", "kind"),
		certificate:      f.NewGaugeVec(prometheus.GaugeOpts{Name: "etcd_tlsproxy_certificate_not_after_timestamp_seconds", Help: "Time at which the first certificate of a role (server, client_ca, upstream) expires, in seconds since the epoch."}, []string{"role"}),
		revocations:      gauge("client_crl_not_after_timestamp_seconds", "Time at which the first revocation list of a client CA expires, in seconds since the epoch; 0 without one. Clients of its CA are refused from then on."),
		reloads:          counter("config_reloads_total", "Attempts to apply changed files by result (ok, failed).", "result"),
		reloadOK:         gauge("config_last_reload_successful", "1 if the last attempt to apply changed files succeeded, else 0: what is not valid on disk is in force as before."),
		pending:          gauge("config_restart_pending", "Changed settings that wait for a restart, which the log and the status page name."),
		warnings:         gauge("config_warnings", "Warnings about the configuration in force, which the log and the status page show."),
		reloadTime:       gauge("config_last_reload_success_timestamp_seconds", "Time of the last reload that succeeded, also if it changed nothing, in seconds since the epoch."),
	}
	m.refreshes = counter("srv_refreshes_total", "Attempts to discover etcd's endpoints in DNS again by result (ok, failed: the old endpoints remain in use).", "result")
	ends := counter("watches_ended_total", "Ended watches by reason: event (it was sent), client (it left), upstream (etcd ended it, or is away), refused (by etcd), revoked (the client lost the right), drain (the proxy stops, or makes clients leave), shed (others needed the watch or the connection of a client above its share).", "reason")
	for _, reason := range []string{"event", "client", "upstream", "refused", "revoked", "drain", "shed", "moved"} {
		m.watchEnds[reason] = ends.WithLabelValues(reason)
	}
	m.exportPool(f)
	m.exportWatches(f)
	m.exportLogins(counter("logins_total", "Checks of a client's identity by means (password, certificate, anonymous), result (ok, remembered, failed, throttled, busy, none) and reason. "+
		"The reason is empty if the client was identified, or no_credentials, other_scheme, malformed_credentials, unknown_user, wrong_password, password_not_in_force (the file has it, but a mistake in the files keeps it from being in force), throttled, busy, untrusted_certificate, expired_certificate, revoked_certificate or certificate_name.",
		"means", "result", "reason"))
	for s := range m.allowedBy {
		for a := range m.allowedBy[s] {
			m.allowedBy[s][a] = m.decisions.WithLabelValues(gate.Surface(s).String(), acl.Access(a).String(), "allowed")
		}
	}
	for i, access := range []string{"read", "write"} {
		m.durationBy[i] = m.duration.WithLabelValues(access)
	}
	m.collector = newCollector()
	reg.MustRegister(m.collector)
	m.startSeries()
	f.NewGaugeVec(prometheus.GaugeOpts{Name: "etcd_tlsproxy_build_info", Help: "Always 1. The labels name the version of the program and of Go."},
		[]string{"version", "goversion"}).WithLabelValues(version, runtime.Version()).Set(1)
	return m
}

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
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "etcd_tlsproxy_upstream_cluster_changes_total", Help: "Times that etcd answered a watch as another cluster than before, with another X-Etcd-Cluster-Id. All watches end then, and the service log has both ids.",
	}, func() float64 { return float64(m.Watches.Clusters.Load()) })
	delivery := f.NewHistogram(prometheus.HistogramOpts{
		Name: "etcd_tlsproxy_watch_fan_out_duration_seconds", Help: "Time from the arrival of an event to the last byte handed to the kernel for its last watcher.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	})
	m.Watches.ObserveDelivery = func(d time.Duration) { delivery.Observe(d.Seconds()) }
}
