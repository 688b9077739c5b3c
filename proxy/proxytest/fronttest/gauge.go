package fronttest

import (
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// Gauge returns the value of a gauge without labels. It does not ask the proxy for its
// status, because that sends requests to etcd.
func (f *Front) Gauge(name string) float64 {
	f.t.Helper()
	metrics := f.gather(name)
	if len(metrics) != 1 {
		f.t.Fatalf("got %d series of the gauge %s, want 1", len(metrics), name)
	}
	return metrics[0].GetGauge().GetValue()
}

// PoolGauge returns a gauge of one pool.
func (f *Front) PoolGauge(name, pool string) float64 {
	f.t.Helper()
	for _, m := range f.gather(name) {
		if m.Label[0].GetValue() == pool {
			return m.GetGauge().GetValue()
		}
	}
	f.t.Fatalf("got no series of the gauge %s for the pool %s, want one", name, pool)
	return 0
}

// Counter returns the sum of the series of a counter that have a label of the value. It is
// 0 as long as nothing was counted.
func (f *Front) Counter(name, value string) (sum float64) {
	f.t.Helper()
	for _, m := range f.gather(name) {
		if slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetValue() == value }) {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

func (f *Front) gather(name string) []*dto.Metric {
	f.t.Helper()
	families, err := f.Metrics.Registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.Metric
		}
	}
	return nil
}

// Connections returns the number of open connections of clients.
func (f *Front) Connections() int { return int(f.Gauge("etcd_tlsproxy_connections")) }

// Watches returns the number of running watches of clients.
func (f *Front) Watches() int { return int(f.Gauge("etcd_tlsproxy_watches")) }
