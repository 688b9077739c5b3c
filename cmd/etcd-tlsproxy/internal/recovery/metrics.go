package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	metricPrefix  = "etcd_tlsproxy_backup_"
	attemptFailed = metricPrefix + "last_attempt_failed"
)

// gauges are the metrics of a backup for the node exporter's textfile collector.
type gauges map[string]float64

var _ prometheus.Gatherer = gatherer{}

// gatherer hands finished metrics to the library.
type gatherer []*dto.MetricFamily

func (g gatherer) Gather() ([]*dto.MetricFamily, error) { return g, nil }

func (g gauges) families() []*dto.MetricFamily {
	help := []struct{ name, help string }{
		{attemptFailed, "Whether the last backup failed."},
		{metricPrefix + "last_success_timestamp_seconds", "When the last backup that succeeded was taken."},
		{metricPrefix + "size_bytes", "Size of its files."},
		{metricPrefix + "keys", "Number of visible keys in it."},
		{metricPrefix + "verified", "Whether an etcd was started on a copy of it and had the member's keys."},
		{metricPrefix + "duration_seconds", "How long it took."},
	}
	var families []*dto.MetricFamily
	for _, m := range help {
		if value, ok := g[m.name]; ok {
			families = append(families, &dto.MetricFamily{Name: &m.name, Help: &m.help, Type: dto.MetricType_GAUGE.Enum(),
				Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &value}}}})
		}
	}
	return families
}

// writeSuccess writes the metrics of a backup.
func writeSuccess(file string, r *Result) error {
	verified := 0.0
	g := gauges{
		attemptFailed: 0,
		metricPrefix + "last_success_timestamp_seconds": float64(r.Manifest.Time.Unix()),
		metricPrefix + "size_bytes":                     float64(r.Bytes),
		metricPrefix + "duration_seconds":               r.Seconds,
	}
	if keys := r.Manifest.Keys; keys != nil {
		g[metricPrefix+"keys"] = float64(keys.Count)
		if keys.Verified {
			verified = 1
		}
	}
	g[metricPrefix+"verified"] = verified
	return prometheus.WriteToTextfile(file, gatherer(g.families()))
}

// writeFailure records that a backup failed. The metrics of the last success are kept:
// an alert on its age fires only if backups keep failing.
func writeFailure(file string) error {
	g, err := readGauges(file)
	if err != nil {
		// The old figures are lost, but the failure must be reported anyway.
		g, err = gauges{}, fmt.Errorf("reading the metrics of the last backup in %s: %w", file, err)
	}
	g[attemptFailed] = 1
	return errors.Join(err, prometheus.WriteToTextfile(file, gatherer(g.families())))
}

// readGauges reads the metrics that are in a file, if it exists.
func readGauges(file string) (gauges, error) {
	old, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return gauges{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer old.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(old)
	if err != nil {
		return nil, err
	}
	g := gauges{}
	for name, family := range families {
		for _, m := range family.Metric {
			if m.Gauge != nil {
				g[name] = m.Gauge.GetValue()
			}
		}
	}
	return g, nil
}
