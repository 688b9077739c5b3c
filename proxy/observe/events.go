package observe

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
)

// countDecision counts a decision of the gate.
func (m *Metrics) countDecision(op *gate.Operation, refusal *gate.Refusal) {
	if refusal == nil {
		m.allowedBy[op.Surface][op.Access].Inc()
		return
	}
	m.decisions.WithLabelValues(op.Surface.String(), op.Access.String(), refusal.Reason).Inc()
}

// CountLogin counts an attempt to identify a client; see [gate.Gate.Login].
func (m *Metrics) CountLogin(login gate.Login) { m.loginsBy[login].Inc() }

// countAnswer counts one answered request.
func (m *Metrics) countAnswer(op *gate.Operation, status int, duration time.Duration) {
	m.requestCounter(op, status).Inc()
	if !op.Watch {
		m.durationBy[op.Access].Observe(duration.Seconds())
	}
}

// requestCounter returns a counter without building its set of labels each time.
func (m *Metrics) requestCounter(op *gate.Operation, status int) prometheus.Counter {
	method, code := methodLabel(op.Method), codeLabel(status)
	at := &m.requestsBy[op.Surface][method][code]
	if c := at.Load(); c != nil {
		return *c
	}
	c := m.requests.WithLabelValues(op.Surface.String(), methodLabels[method], codeLabels[code])
	at.Store(&c)
	return c
}

// Reloaded records an attempt to apply changed files. server is the generation of
// certificates that is in force after it.
func (m *Metrics) Reloaded(server *certs.Generation, err error) {
	if err != nil {
		m.reloads.WithLabelValues("failed").Inc()
		m.reloadOK.Set(0)
	} else {
		m.reloads.WithLabelValues("ok").Inc()
		m.reloadOK.Set(1)
		m.reloadTime.SetToCurrentTime()
	}
	m.certificate.Reset()
	first := map[string]time.Time{}
	for _, c := range server.Certificates() {
		if t, seen := first[c.Role]; !seen || c.NotAfter.Before(t) {
			first[c.Role] = c.NotAfter
		}
	}
	for role, t := range first {
		m.certificate.WithLabelValues(role).Set(float64(t.Unix()))
	}
	m.revocations.Set(0)
	if lists := server.RevocationLists(); len(lists) > 0 {
		next := slices.MinFunc(lists, func(a, b certs.Expiry) int { return a.NotAfter.Compare(b.NotAfter) })
		m.revocations.Set(float64(next.NotAfter.Unix()))
	}
}

// SetRestartPending records the number of changed settings that wait for a restart.
func (m *Metrics) SetRestartPending(n int) { m.pending.Set(float64(n)) }

// SetUpstreamCertificate records when the certificate for etcd expires. Zero is never.
// Reloaded must be called before it.
func (m *Metrics) SetUpstreamCertificate(notAfter time.Time) {
	if !notAfter.IsZero() {
		m.certificate.WithLabelValues("upstream").Set(float64(notAfter.Unix()))
	}
}

// SetWarnings records the number of warnings about the configuration in force.
func (m *Metrics) SetWarnings(n int) { m.warnings.Set(float64(n)) }

// Refreshed records an attempt to discover etcd's endpoints again.
func (m *Metrics) Refreshed(err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.refreshes.WithLabelValues(result).Inc()
}

// ConnectionOpened counts a client connection that was admitted.
func (m *Metrics) ConnectionOpened() { m.connections.Inc() }

// ConnectionClosed counts the end of a client connection that was admitted.
func (m *Metrics) ConnectionClosed() { m.connections.Dec() }

// ConnectionRefused counts a client connection that was closed at once.
func (m *Metrics) ConnectionRefused(reason string) { m.refusedConns.WithLabelValues(reason).Inc() }

// ConnectionShed counts a client connection that was closed to make room for others.
func (m *Metrics) ConnectionShed() { m.shed.Inc() }

// ReadDelayed counts a read that had to wait; its client makes the proxy read too often for nothing.
func (m *Metrics) ReadDelayed() { m.readsDelayed.Inc() }

// HandshakeFailed counts why a TLS handshake failed.
func (m *Metrics) HandshakeFailed(reason string) { m.handshakeFailures.WithLabelValues(reason).Inc() }

// SetLimits records the limits in force, by their keys in the configuration. The map must not
// change afterwards.
func (m *Metrics) SetLimits(limits map[string]float64) {
	m.collector.limits.Store(&limits)
}

// Export makes the metrics include the state of a server.
func (o *Observer) Export(read func() State) {
	o.Metrics.collector.setSource(o, read)
}

// Handshake counts a TLS handshake by its result.
func (m *Metrics) Handshake(result string) { m.handshakes.WithLabelValues(result).Inc() }

// HandedOver counts a connection that left the fast lane for the standard lane.
func (m *Metrics) HandedOver() { m.handedOver.Inc() }

// SetMemoryLevel publishes the level of memory pressure, from 0 to 3.
func (m *Metrics) SetMemoryLevel(level int) { m.memoryLevel.Set(float64(level)) }

// WatchStarted counts a running watch.
func (m *Metrics) WatchStarted() { m.watches.Inc() }

// WatchEnded counts the end of a watch. The reason is one of those that the metric's help
// text names.
func (m *Metrics) WatchEnded(reason string) {
	m.watches.Dec()
	m.watchEnds[reason].Inc()
}

// UpstreamFailed counts a request that etcd did not answer.
func (m *Metrics) UpstreamFailed(kind upstream.Kind) {
	m.upstreamFailures.WithLabelValues(kind.String()).Inc()
}
