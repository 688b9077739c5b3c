package observe

import (
	"bytes"
	"io"
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

// Seen records that the file of the log is at its path, with all records so far.
func (l *Log) Seen() {
	if l.seen() {
		l.Flush()
	}
}

// seen reports whether the file is there again.
func (l *Log) seen() (back bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unseen = 0
	if back = l.away != nil; back { // somebody has moved it
		l.away = nil
		if l.queue != nil {
			l.queue.Try()
		} else {
			_ = l.resume() // an error is that of the next record, too
		}
	}
	return back
}

// Away makes the log fail, because its file is not at its path any more and cannot be opened
// there. If the file is deleted, the records since it was last seen are lost. Later ones are
// lost to those who read the log at its path, although they are written.
func (l *Log) Away(err error, deleted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	began := l.away == nil
	l.away, l.err = err, err
	if began {
		l.lose(err, l.unseenIf(deleted))
	}
}

// Reopen is Switch to the file that is at the path of the log now. The file and the service
// log say what has happened.
func (l *Log) Reopen(to io.Writer, what string, deleted bool) (old io.Writer) {
	defer l.Flush()
	l.mu.Lock()
	defer l.mu.Unlock()
	since := l.since
	if !l.failing.Load() {
		since, l.missing = time.Now(), 0
	}
	lost := l.unseenIf(deleted)
	l.missing += lost
	l.total += lost
	l.lost.Add(float64(lost))
	old = l.switchTo(to, nil)
	attrs := []any{"what", what, "lost", l.missing, "since", since}
	l.service.Warn("a log was opened again: its file was removed or replaced", append([]any{"log", l.name}, attrs...)...)
	l.failing.Store(false)
	l.unreported = 0
	if l.notices {
		var notice bytes.Buffer
		slog.New(slog.NewJSONHandler(&notice, nil)).Warn("opened again: the file was removed or replaced", attrs...)
		var err error
		if l.queue != nil {
			err = l.queue.Add(notice.Bytes())
		} else {
			err = l.write(notice.Bytes())
		}
		if err != nil {
			l.lose(err, 0)
		}
	}
	return old
}

// unseenIf returns the number of records that are lost if the file was deleted; l.mu is held.
func (l *Log) unseenIf(deleted bool) (lost uint64) {
	if deleted {
		lost = l.unseen
	}
	l.unseen = 0
	return lost
}
