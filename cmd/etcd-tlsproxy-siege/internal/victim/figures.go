package victim

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Figures is what was measured of one kind of requests in one phase.
type Figures struct {
	Requests, Failed int64
	// FirstError is why the first of the failed requests failed.
	FirstError string
	latency    *hdrhistogram.Histogram // of those that did not fail, in microseconds
}

func newFigures() *Figures {
	return &Figures{latency: hdrhistogram.New(1, (2 * timeout).Microseconds(), 2)}
}

func (f *Figures) record(took time.Duration, err error) {
	f.Requests++
	if err == nil {
		_ = f.latency.RecordValue(max(1, took.Microseconds()))
		return
	}
	f.Failed++
	if f.FirstError == "" {
		f.FirstError = err.Error()
	}
}

// Quantile returns a quantile of the latencies, in percent. Failed requests have none.
func (f *Figures) Quantile(percent float64) time.Duration {
	return time.Duration(f.latency.ValueAtQuantile(percent)) * time.Microsecond
}
