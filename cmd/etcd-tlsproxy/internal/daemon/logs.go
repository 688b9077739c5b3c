package daemon

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy/observe"
)

// logs are all logs of the service.
type logs struct {
	// service is for the operator: starts, reloads and faults.
	service *slog.Logger
	level   slog.LevelVar
	json    atomic.Bool // for the service log
	records *observe.Records
	// lastOther is the time of the last line about another cluster.
	lastOther atomic.Int64

	stdout, stderr io.Writer
	out            *serviceOutput // of the service log
	mu             sync.Mutex     // held while outputs are replaced
	access, audit  output
}

// output is where a log of records is written.
type output struct {
	log   *observe.Log
	where string   // as in the configuration
	file  *os.File // nil unless where is a path
	moved bool     // the last look at the path found another file there, or none
	away  bool     // and the log could not be opened again
}

func openLogs(c *config.Log, stdout, stderr io.Writer) (*logs, error) {
	l := &logs{stdout: stdout, stderr: stderr}
	handler := newServiceHandler(stderr, &l.level, &l.json)
	l.service, l.out = slog.New(handler), handler.out
	l.records = observe.NewRecords(observe.RecordOptions{Service: l.service})
	l.access, l.audit = output{log: l.records.Access, where: "off"}, output{log: l.records.Audit, where: "off"}
	if err := l.apply(c); err != nil {
		l.out.close()
		return nil, err
	}
	return l, nil
}

// apply makes the logs those of a configuration. On an error nothing changes.
func (l *logs) apply(c *config.Log) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	access, err := l.access.openAt(c.Access)
	if err != nil {
		return err
	}
	audit, err := l.audit.openAt(c.Audit)
	if err != nil {
		return errors.Join(err, l.access.discard(access))
	}
	l.level.Set(level)
	l.json.Store(c.Service == "json")
	l.records.JSON.Store(c.Format == "json")
	l.records.AuditRequired.Store(c.AuditRequired)
	return errors.Join(l.access.replace(c.Access, access, l), l.audit.replace(c.Audit, audit, l))
}

// openAt opens the file of a log, or returns the open one if the path is the same. It
// returns nil if where is not a path.
func (o *output) openAt(where string) (*os.File, error) {
	switch {
	case where == o.where:
		return o.file, nil
	case !config.IsLogFile(where):
		return nil, nil
	}
	return openLog(where)
}

// openLog opens a log file. Besides the owner only its group, the administrators of logs,
// can read it.
func openLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	return f, nil
}

// discard closes a file that openAt has opened in vain.
func (o *output) discard(file *os.File) error {
	if file == nil || file == o.file {
		return nil
	}
	return file.Close()
}

// replace writes the log to another place, and closes the old file.
func (o *output) replace(where string, file *os.File, l *logs) error {
	if where == o.where && file == o.file {
		return nil
	}
	var to io.Writer
	switch {
	case file != nil:
		to = file
	case where == "stdout":
		to = l.stdout
	case where == "stderr":
		to = l.stderr
	}
	if where == o.where {
		o.log.Switch(to)
	} else {
		o.log.Move(to, where)
	}
	old := o.file
	o.where, o.file, o.moved, o.away = where, file, false, false
	if old != nil {
		return old.Close()
	}
	return nil
}

// close ends the log.
func (o *output) close() error {
	o.log.Switch(nil)
	if o.file == nil {
		return nil
	}
	return o.file.Close()
}

// reopen opens all files again by their names, after logrotate has moved them away. It
// keeps an old file if it cannot open the new one.
func (l *logs) reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, o := range []*output{&l.access, &l.audit} {
		if o.file == nil {
			continue
		}
		file, err := openLog(o.where)
		switch {
		case err != nil:
			o.moved = true // a rotation has ended; nobody is about to make the file
			_ = o.check()  // which has the same error, if the old file is not at the path
		case o.away:
			err = o.adopt(file, "the path can be opened again", false)
		default:
			err = o.replace(o.where, file, l)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (l *logs) close() error {
	l.records.Flush()
	l.mu.Lock()
	defer l.mu.Unlock()
	err := errors.Join(l.access.close(), l.audit.close())
	l.out.close()
	return err
}

// otherClusterEvery bounds the lines about other clusters. Endpoints of two clusters answer by
// turns.
const otherClusterEvery = 10 * time.Second

// otherCluster reports that etcd is another cluster than before.
func (l *logs) otherCluster(before, now string, ended int) {
	at := time.Now().UnixNano()
	last := l.lastOther.Load()
	if last != 0 && at-last < int64(otherClusterEvery) || !l.lastOther.CompareAndSwap(last, at) {
		return // the metric counts it
	}
	l.service.Warn("etcd is another cluster now; the watches of the one before have ended", "before", before, "now", now, "watches_ended", ended)
}
