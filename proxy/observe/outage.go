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

	silent atomic.Bool // there was no success of a request since Listen
	active atomic.Bool

	mu         sync.Mutex
	good       time.Time // the last success that is known, or one of the second before; zero if nobody calls Watch
	since      time.Time // the beginning
	found      time.Time // the first failure
	failed     time.Time // the last failure
	recovered  time.Time // the first success after the last failure; zero if there was none
	probed     time.Time // the last success, if only probes have succeeded since the last failure
	failures   int       // since the beginning
	unreported bool      // whether there were failures since the last line
	reported   time.Time // when the last line was written
	last       []any     // attributes of the last failure
}

const (
	outageReportEvery = 10 * time.Second
	outageCheckEvery  = time.Second
	// outageSettle is how long there must be no failure before the outage has ended, so that
	// an etcd which answers every other request is one outage. If only probes show that, it is
	// the time from the first to the last of them.
	outageSettle = 2 * time.Second
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

// Watch makes outages begin with the last success before them instead of their first failure:
// a failure can be noticed long after its cause. It begins now, and needs calls of Listen. The
// first success after each of them is remembered.
func (o *Outage) Watch() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.good = time.Now()
}

// Answered returns the time of the last success that is known. It may be up to a second too
// early.
func (o *Outage) Answered() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.good
}

// Succeeded records a success. Without an outage it costs two loads.
func (o *Outage) Succeeded() {
	if o.silent.Load() {
		o.silent.Store(false)
		o.Heard(time.Now())
	}
	if o.active.Load() {
		o.succeed(false)
	}
}

// Listen reports whether a request succeeded since the last call. Probes do not count.
func (o *Outage) Listen() (succeeded bool) { return !o.silent.Swap(true) }

// Silent reports whether no request succeeded since the last call of Listen.
func (o *Outage) Silent() bool { return o.silent.Load() }

// Active reports whether there is an outage.
func (o *Outage) Active() bool { return o.active.Load() }

// ProbeFailed records a probe that failed while no request was answered. It begins an outage,
// and is not counted: a night without requests is not worth a line every ten seconds.
func (o *Outage) ProbeFailed(attrs ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.fail(attrs)
}

// ProbeSucceeded records a probe that succeeded while there was no request. The outage has
// ended once probes succeed for a while in which no request fails.
func (o *Outage) ProbeSucceeded() {
	if o.active.Load() {
		o.succeed(true)
	}
}

// Heard remembers a success at a time, after [Outage.Watch]. It ends no outage.
func (o *Outage) Heard(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.good.IsZero() && at.After(o.good) {
		o.good = at
	}
}

// fail begins an outage, or prolongs it, and reports whether it has begun; o.mu is held.
func (o *Outage) fail(attrs []any) (began bool) {
	o.failed, o.recovered = time.Now(), time.Time{}
	if o.active.Load() {
		return false
	}
	o.since, o.found = o.failed, o.failed
	if !o.good.IsZero() {
		o.since = o.good
	}
	o.failures, o.unreported, o.reported = 0, false, o.found
	o.active.Store(true)
	o.Log.Warn(o.Began, attrs...)
	time.AfterFunc(outageCheckEvery, o.check)
	return true
}

func (o *Outage) succeed(probed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, first := time.Now(), o.recovered.IsZero()
	if first {
		o.recovered = now
	}
	switch {
	case !probed:
		o.probed = time.Time{}
	case first || !o.probed.IsZero():
		o.probed = now
	}
}

// Since returns the beginning of the outage, or zero if there is none, and the time of the
// first success after the last failure, or zero if there was none. The beginning stays the
// same until the outage has ended.
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
	now := time.Now()
	shown := now // until when it is known that nothing fails
	if !o.probed.IsZero() {
		shown = o.probed.Add(outageCheckEvery / 2) // probes are not exactly a second apart
	}
	if !o.recovered.IsZero() && shown.Sub(o.recovered) >= outageSettle {
		o.active.Store(false)
		attrs := []any{"since", o.since.Round(time.Millisecond), "until", o.recovered.Round(time.Millisecond),
			"after", o.recovered.Sub(o.since).Round(100 * time.Millisecond).String(), "failures", o.failures}
		if !o.good.IsZero() {
			attrs = append(attrs, "first_failure", o.found.Round(time.Millisecond))
			if o.recovered.After(o.good) {
				o.good = o.recovered
			}
		}
		o.Log.Info(o.Ended, attrs...)
		return
	}
	// After the last failure the line would say what is not so any more.
	fails := o.recovered.IsZero() || now.Sub(o.failed) < outageCheckEvery
	if fails && o.unreported && now.Sub(o.reported) >= outageReportEvery {
		attrs := append([]any{"failures", o.failures, "for", o.failed.Sub(o.since).Round(100 * time.Millisecond).String()}, o.last...)
		o.Log.Warn(o.Lasts, attrs...)
		o.reported, o.unreported = now, false
	}
	time.AfterFunc(outageCheckEvery, o.check)
}
