package observe

import (
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
)

// Observer takes the reports of all lanes. Its methods may be called at any time from
// any goroutine.
type Observer struct {
	Metrics *Metrics
	Records *Records

	traffic  traffic
	refusals recentRefusals
	samples  samples
	prober   upstream.Prober
}

// New returns an observer that counts on m and writes to r.
func New(m *Metrics, r *Records) *Observer {
	for _, log := range []*Log{r.Access, r.Audit} {
		log.lost = m.recordsLost.WithLabelValues(log.name)
	}
	return &Observer{Metrics: m, Records: r}
}

// Decided counts a decision of the gate. counts are those of the snapshot that decided.
func (o *Observer) Decided(counts *DecisionCounts, op *gate.Operation, refusal *gate.Refusal) {
	o.Metrics.countDecision(op, refusal)
	counts.add(op, refusal)
}

// Answered records a request that was answered, or whose answer was broken off. It returns the
// time of that.
func (o *Observer) Answered(r *Record) time.Time {
	now := time.Now()
	duration := now.Sub(r.Started)
	o.Metrics.countAnswer(&r.Op, r.Status, duration)
	o.traffic.count(r, duration)
	if r.Refusal != nil {
		o.Metrics.refusals.WithLabelValues(r.Op.Access.String(), r.Refusal.Reason).Inc()
	}
	o.refusals.add(r)
	o.Records.write(r, duration)
	return now
}
