package observe

import (
	"bytes"
	"log/slog"
	"time"
)

// notice returns the line with which a log that could not be written before says itself where
// records are missing, or nil; l.mu is held.
func (l *Log) notice() []byte {
	if !l.failing.Load() || !l.notices || l.away != nil {
		return nil
	}
	l.noticed = l.missing
	var notice bytes.Buffer
	slog.New(slog.NewJSONHandler(&notice, nil)).Warn("records lost", "lost", l.missing, "since", l.since)
	return notice.Bytes()
}

// resume writes the notice.
func (l *Log) resume() error {
	notice := l.notice()
	if notice == nil {
		return nil
	}
	if err := l.write(notice); err != nil {
		return err
	}
	l.recovered()
	return nil
}

// lose counts records that could not be written, or begins a failure without one; l.mu is
// held.
func (l *Log) lose(err error, records uint64) {
	now, every := time.Now(), reportEvery
	if !l.failing.Load() {
		l.since, l.missing, l.noticed = now, 0, 0
		every = probeEvery // a disk that is full now and then has many beginnings
	}
	l.failing.Store(true)
	l.err = err
	l.missing += records
	l.total += records
	l.unreported += records
	l.lost.Add(float64(records))
	if now.Sub(l.reported) >= every {
		l.service.Error("records are lost: a log cannot be written", "log", l.name, "lost", l.unreported, "error", err)
		l.reported, l.unreported = now, 0
	}
	l.scheduleProbe()
}

// scheduleProbe makes sure that a log with notices is tried again without a record; l.mu is
// held.
func (l *Log) scheduleProbe() {
	switch {
	case !l.notices:
	case l.probing == nil:
		l.probing = time.AfterFunc(probeEvery, l.probe)
	default:
		l.probing.Reset(probeEvery)
	}
}

func (l *Log) probe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil || l.away != nil || !l.failing.Load() { // without its file, see Reopen
		return
	}
	if l.queue != nil {
		l.queue.Try()
		return
	}
	if err := l.resume(); err != nil {
		l.err = err
		l.scheduleProbe()
	}
}

// recovered ends a failure; l.mu is held.
func (l *Log) recovered() {
	if !l.failing.Load() {
		return
	}
	l.failing.Store(false)
	l.service.Warn("a log can be written again", "log", l.name, "lost", l.missing, "after", time.Since(l.since).Round(time.Second).String())
	l.unreported = 0
}
