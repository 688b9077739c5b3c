package proxy

import (
	"net/http"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/acl"
)

// traffic counts answered requests, for those who look at the proxy itself; what
// Prometheus gets is in [Metrics].
type traffic struct {
	reads, writes, watches atomic.Uint64
	refused, failed        atomic.Uint64
	bytes                  atomic.Uint64
	took                   [2]latencies // by acl.Access; watches are left out
}

func (t *traffic) count(r *record, took time.Duration) {
	switch {
	case r.op.Watch:
		t.watches.Add(1)
	case r.op.Access == acl.Read:
		t.reads.Add(1)
	default:
		t.writes.Add(1)
	}
	switch {
	case r.status >= http.StatusInternalServerError:
		t.failed.Add(1)
	case r.refusal != nil:
		t.refused.Add(1)
	}
	t.bytes.Add(uint64(r.bytes))
	if !r.op.Watch {
		t.took[r.op.Access].observe(took)
	}
}

// answered takes note of a request that was answered, or whose answer broke off.
func (s *Server) answered(r *record) {
	took := time.Since(r.started)
	s.metrics.answered(&r.op, r.status, took)
	s.traffic.count(r, took)
	s.refusals.note(r)
	s.records.write(r)
}
