package observe

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Log is the access log or the audit log. A record that cannot be written is counted and
// reported to the service log, because a log that is lost in silence is worse than none.
type Log struct {
	name    string // "access" or "audit"
	service *slog.Logger
	notices bool // whether a notice about lost records fits the format

	on      atomic.Bool
	failing atomic.Bool
	lost    prometheus.Counter // set by New

	mu         sync.Mutex
	to         io.Writer // nil if the log is off
	away       error     // set if to is a file that is not at its path any more
	unseen     uint64    // records written since that file was last seen at its path
	torn       bool      // the last write, perhaps of an earlier process, ended within a line
	since      time.Time // when the first record of this failure was lost
	err        error     // of the last write that failed
	missing    uint64    // records lost since then
	total      uint64    // records lost since the start
	unreported uint64    // records lost since the last report
	reported   time.Time
	probing    *time.Timer
}

const (
	// reportEvery bounds the lines about lost records in the service log while a failure
	// lasts. One that begins is bounded by probeEvery.
	reportEvery = time.Minute
	// probeEvery is short, because writes are refused meanwhile if log.audit_required is set.
	probeEvery = time.Second
)

func newLog(name string, notices bool, to io.Writer, service *slog.Logger) *Log {
	l := &Log{name: name, notices: notices, service: service}
	l.Switch(to)
	return l
}

// Switch makes the log write to another writer; nil turns it off. It returns the old
// writer, which is not used any more.
func (l *Log) Switch(to io.Writer) (old io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.switchTo(to)
}

// Move is Switch to another place. If notices fit the log, its last line in the old place
// names the new one, so that nobody takes that for the end of all records.
func (l *Log) Move(to io.Writer, place string) (old io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to != nil && l.notices {
		var notice bytes.Buffer
		slog.New(slog.NewJSONHandler(&notice, nil)).Info("moved", "to", place)
		_ = l.write(notice.Bytes()) // it may be moved because it cannot be written
	}
	return l.switchTo(to)
}

func (l *Log) switchTo(to io.Writer) (old io.Writer) {
	old = l.to
	l.to, l.torn, l.away, l.unseen = to, endsWithinLine(to), nil, 0
	l.on.Store(to != nil)
	if to == nil {
		if l.failing.Load() { // the metric and the status page end with the process
			l.service.Error("records were lost: a log was closed before it could be written again",
				"log", l.name, "lost", l.missing, "since", l.since, "error", l.err)
		}
		l.failing.Store(false)
		l.unreported = 0
		if l.probing != nil {
			l.probing.Stop()
		}
	}
	return old
}

// endsWithinLine reports whether a file ends with a line that was cut off: by a full disk, and
// perhaps before this process. If that cannot be read, an empty line is the lesser evil.
func endsWithinLine(to io.Writer) bool {
	file, ok := to.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	written, err := os.Open(file.Name()) // file is open for writing only
	if err != nil {
		return true
	}
	defer written.Close()
	var last [1]byte
	_, err = written.ReadAt(last[:], info.Size()-1)
	return err != nil || last[0] != '\n'
}

// On reports whether the log is written at all.
func (l *Log) On() bool { return l.on.Load() }

// Failing reports whether the last record could not be written, or not at the log's path.
func (l *Log) Failing() bool { return l.failing.Load() }

// Write writes one line.
func (l *Log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		return len(line), nil
	}
	err := l.away
	if err != nil {
		_ = l.write(line) // whoever moved the file may find the record in it
	} else if err = l.resume(); err == nil {
		err = l.write(line)
	}
	if err != nil {
		l.lose(err, 1)
		return 0, err
	}
	l.unseen++
	l.recovered()
	return len(line), nil
}

// write writes a line on its own. A line that an earlier write cut off must not swallow it.
func (l *Log) write(line []byte) error {
	if l.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := l.to.Write(line)
	if n > 0 {
		l.torn = line[n-1] != '\n'
	}
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	return err
}

// resume writes a notice to a log that could not be written before, so that the log itself
// says where records are missing.
func (l *Log) resume() error {
	if !l.failing.Load() || !l.notices {
		return nil
	}
	var notice bytes.Buffer
	slog.New(slog.NewJSONHandler(&notice, nil)).Warn("records lost", "lost", l.missing, "since", l.since)
	if err := l.write(notice.Bytes()); err != nil {
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
		l.since, l.missing = now, 0
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

// status returns the state of the log.
func (l *Log) status() LogStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := LogStatus{Log: l.name, On: l.to != nil, Failing: l.failing.Load(), Lost: l.total}
	if l.err != nil {
		s.Since, s.Error = l.since.UTC(), l.err.Error()
	}
	return s
}
