package observe

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Outage logs a failure that lasts by its changes of state: one line when it begins, one
// every ten seconds with the number of failures so far, and one when it has ended. Thousands of
// clients that fail each second must not hide everything else in the log.
//
// The zero value of the other fields is ready to use.
type Outage struct {
	// Began, Lasts and Ended are the messages.
	Began, Lasts, Ended string
	// Log receives them.
	Log *slog.Logger

	active atomic.Bool

	mu         sync.Mutex
	since      time.Time // the first failure
	recovered  time.Time // the first success after the last failure; zero if there was none
	probed     bool      // whether only probes have succeeded since then
	failures   int       // since the beginning
	unreported bool      // whether there were failures since the last line
	reported   time.Time // when the last line was written
	last       []any     // attributes of the last failure
}

const (
	outageReportEvery = 10 * time.Second
	outageCheckEvery  = time.Second
	// outageSettle is how long there must be no failure before the outage has ended, so that
	// an etcd which answers every other request is one outage.
	outageSettle = 2 * time.Second
	// probedSettle is the same if only probes have succeeded. Etcd can answer these and no
	// write: then clients that try again every few seconds see one outage.
	probedSettle = 10 * time.Second
)

// Failed records a failure. The attributes describe it, like those of [slog.Logger.Warn].
func (o *Outage) Failed(attrs ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	began := o.fail(attrs)
	o.failures++
	if !began {
		o.unreported, o.last = true, attrs
	}
}

// Succeeded records a success. Without an outage it costs one load of a variable.
func (o *Outage) Succeeded() {
	if o.active.Load() {
		o.succeed(false)
	}
}

// ProbeFailed records a probe that failed while there was no request. It begins an outage, and
// is not counted: a night without requests is not worth a line every ten seconds.
func (o *Outage) ProbeFailed(attrs ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.fail(attrs)
}

// ProbeSucceeded records a probe that succeeded while there was no request. It ends an outage
// once no request has failed for a while.
func (o *Outage) ProbeSucceeded() {
	if o.active.Load() {
		o.succeed(true)
	}
}

// fail begins an outage, or prolongs it, and reports whether it has begun; o.mu is held.
func (o *Outage) fail(attrs []any) (began bool) {
	o.recovered = time.Time{}
	if o.active.Load() {
		return false
	}
	o.since = time.Now()
	o.failures, o.unreported, o.reported = 0, false, o.since
	o.active.Store(true)
	o.Log.Warn(o.Began, attrs...)
	time.AfterFunc(outageCheckEvery, o.check)
	return true
}

func (o *Outage) succeed(probed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.recovered.IsZero() {
		o.recovered, o.probed = time.Now(), probed
	}
	o.probed = o.probed && probed
}

// Since returns the time of the first failure, or zero if there is no outage, and the time of
// the first success after the last failure, or zero if there was none.
func (o *Outage) Since() (failed, recovered time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.active.Load() {
		return time.Time{}, time.Time{}
	}
	return o.since, o.recovered
}

// check writes the lines that are due.
func (o *Outage) check() {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, settle := time.Now(), outageSettle
	if o.probed {
		settle = probedSettle
	}
	if !o.recovered.IsZero() && now.Sub(o.recovered) >= settle {
		o.active.Store(false)
		o.Log.Info(o.Ended, "after", o.recovered.Sub(o.since).Round(100*time.Millisecond).String(), "failures", o.failures)
		return
	}
	if now.Sub(o.reported) >= outageReportEvery && o.unreported {
		attrs := append([]any{"failures", o.failures, "for", now.Sub(o.since).Round(time.Second).String()}, o.last...)
		o.Log.Warn(o.Lasts, attrs...)
		o.reported, o.unreported = now, false
	}
	time.AfterFunc(outageCheckEvery, o.check)
}
