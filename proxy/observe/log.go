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

	"etcd-tlsproxy/proxy/lines"
)

// Log is the access log or the audit log. A record that cannot be written is counted and
// reported to the service log, because a log that is lost in silence is worse than none. A file
// has a queue: nobody waits for its reader or its disk.
type Log struct {
	name    string // "access" or "audit"
	service *slog.Logger
	notices bool // whether a notice about lost records fits the format

	on      atomic.Bool
	failing atomic.Bool
	lost    prometheus.Counter // set by New

	mu         sync.Mutex
	to         io.Writer    // nil if the log is off
	queue      *lines.Queue // of a file; nil otherwise
	away       error        // set if to is a file that is not at its path any more
	unseen     uint64       // records written since that file was last seen at its path
	torn       bool         // the last write, perhaps of an earlier process, ended within a line
	since      time.Time    // when the first record of this failure was lost
	err        error        // of the last write that failed
	missing    uint64       // records lost since then
	noticed    uint64       // those of them that the last notice tells of
	total      uint64       // records lost since the start
	unreported uint64       // records lost since the last report
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

// closePatience is how long a file may take for what was not written yet when it is replaced.
const closePatience = time.Second

// Switch makes the log write to another writer; nil turns it off. It returns the old
// writer, which is not used any more, unless it is a file that hangs.
func (l *Log) Switch(to io.Writer) (old io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.switchTo(to, nil)
}

// Move is Switch to another place. If notices fit the log, its last line in the old place
// names the new one, so that nobody takes that for the end of all records.
func (l *Log) Move(to io.Writer, place string) (old io.Writer) {
	var notice bytes.Buffer
	if l.notices {
		slog.New(slog.NewJSONHandler(&notice, nil)).Info("moved", "to", place)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.switchTo(to, notice.Bytes())
}

// switchTo is Switch, with a last line for the old place; l.mu is held, but not while the old
// file takes what is left for it.
func (l *Log) switchTo(to io.Writer, last []byte) (old io.Writer) {
	old, queue := l.to, l.queue
	switch { // the log may be moved because it cannot be written
	case len(last) == 0 || old == nil:
	case queue != nil:
		_ = queue.Add(last)
	default:
		_ = l.write(last)
	}
	l.to, l.torn, l.away, l.unseen, l.queue = to, lines.EndWithin(to), nil, 0, nil
	if _, ok := to.(*os.File); ok {
		l.queue = l.newQueue(to)
	}
	next := l.queue
	l.on.Store(to != nil)
	if queue != nil {
		l.mu.Unlock() // records wait in the next queue meanwhile
		queue.Close(closePatience)
		l.mu.Lock()
	}
	if next != nil {
		next.Start()
	}
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

// newQueue returns the queue of a file.
func (l *Log) newQueue(to io.Writer) *lines.Queue {
	return lines.New(to, lines.Options{
		Torn: l.torn,
		Notice: func() []byte {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.notice()
		},
		Written: func(lost int, err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			switch {
			case l.away != nil: // all that is written there counts as lost already
			case err != nil:
				l.unseen -= min(l.unseen, uint64(lost))
				l.lose(err, uint64(lost))
			case l.failing.Load() && l.notices && l.missing > l.noticed:
				l.scheduleProbe() // records were lost while these were written
			default:
				l.recovered()
			}
		},
	})
}

// On reports whether the log is written at all.
func (l *Log) On() bool { return l.on.Load() }

// Failing reports whether the last record could not be written, or not at the log's path.
func (l *Log) Failing() bool { return l.failing.Load() }

// Stuck reports whether the reader or the disk of the log does not take what is written.
func (l *Log) Stuck() bool { return !l.stuckSince().IsZero() }

func (l *Log) stuckSince() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queue == nil {
		return time.Time{}
	}
	return l.queue.Stuck()
}

// Write writes one line, or leaves it to the queue.
func (l *Log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		return len(line), nil
	}
	err := l.away
	if l.queue != nil {
		added := l.queue.Add(line) // without its path, whoever moved the file may find the record in it
		if err == nil {
			err = added
		}
		if err != nil {
			l.lose(err, 1)
			return 0, err
		}
		l.unseen++
		return len(line), nil
	}
	if err != nil {
		_ = l.write(line) // likewise
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

// Flush waits for a moment until what was left to the queue is written. It is not for requests.
func (l *Log) Flush() {
	l.mu.Lock()
	queue := l.queue
	l.mu.Unlock()
	if queue != nil {
		queue.Flush(closePatience)
	}
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

// status returns the state of the log.
func (l *Log) status() LogStatus {
	stuck := l.stuckSince()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := LogStatus{Log: l.name, On: l.to != nil, Failing: l.failing.Load(), Lost: l.total}
	if l.err != nil {
		s.Since, s.Error = l.since.UTC(), l.err.Error()
	}
	if !stuck.IsZero() && !s.Failing {
		s.Failing, s.Since, s.Error = true, stuck.UTC(), lines.ErrStuck.Error()
	}
	return s
}
