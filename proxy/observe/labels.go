package observe

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// The closed sets of label values. Any other value is "other", so that a client cannot
// add series.
var (
	methodLabels = [...]string{"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "other"}
	codeLabels   = [...]string{"200", "201", "204", "307", "400", "401", "403", "404", "405", "408", "412", "413",
		"414", "417", "429", "431", "500", "501", "502", "503", "504", "505", "507", "other"}
)

// startSeries makes the series whose first increase must not be missed: Prometheus sees no
// increase in a series that begins with 1.
func (m *Metrics) startSeries() {
	each := func(v *prometheus.CounterVec, values ...string) {
		for _, value := range values {
			v.WithLabelValues(value)
		}
	}
	each(m.recordsLost, "access", "audit")
	each(m.reloads, "ok", "failed")
	each(m.refreshes, "ok", "failed")
	each(m.refusedConns, "connections", "address", "memory", "proxy_header")
	each(m.handshakes, "full", "resumed", "failed", "timeout", "plain_http")
	each(m.handshakeFailures, "client_gone", "timeout", "plain_http", "no_tls", "no_certificate", "untrusted_certificate", "expired_certificate",
		"rejected_by_client", "version", "cipher", "too_large", "draining", "other")
	each(m.upstreamFailures, "unreachable", "busy", "too_long", "lost", "broken", "timeout")
	for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
		for _, code := range []string{"200", "201", "400", "401", "403", "404", "412", "500", "502", "503", "504"} {
			m.requests.WithLabelValues(gate.Keys.String(), method, code)
		}
	}
	for _, access := range []acl.Access{acl.Read, acl.Write} {
		for _, reason := range gate.Reasons() {
			m.refusals.WithLabelValues(access.String(), reason)
		}
	}
	for s := range gate.Surface(gate.NumSurfaces) {
		for _, access := range []acl.Access{acl.Read, acl.Write} {
			for _, reason := range gate.DecisionReasons() {
				m.decisions.WithLabelValues(s.String(), access.String(), reason)
			}
		}
	}
}

func methodLabel(method string) int {
	if i := slices.Index(methodLabels[:], method); i >= 0 {
		return i
	}
	return len(methodLabels) - 1
}

func codeLabel(status int) int {
	if status == 200 {
		return 0
	}
	if i := slices.Index(codeLabels[:], strconv.Itoa(status)); i >= 0 {
		return i
	}
	return len(codeLabels) - 1
}
