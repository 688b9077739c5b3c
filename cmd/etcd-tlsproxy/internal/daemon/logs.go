package daemon

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy/observe"
)

// logFile appends to a file, and can open the file again by its name after
// logrotate has moved it away.
type logFile struct {
	path string
	mu   sync.Mutex
	file *os.File
}

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.reopen()
}

// reopen keeps the old file if it cannot open the new one.
func (l *logFile) reopen() error {
	// Besides the owner only its group, the administrators of logs, can read it.
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	l.mu.Lock()
	old := l.file
	l.file = f
	l.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Write(p)
}

func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// logs are all logs of the service.
type logs struct {
	// service is for the operator: starts, reloads and faults.
	service *slog.Logger
	records *observe.Records
	files   []*logFile
}

func openLogs(c *config.Log, stdout, stderr io.Writer) (*logs, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	l := &logs{service: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))}
	access, err := l.open(c.Access, stdout, stderr)
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	audit, err := l.open(c.Audit, stdout, stderr)
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	l.records = &observe.Records{Access: access, JSON: c.Format == "json"}
	if audit != nil {
		l.records.Audit = slog.New(slog.NewJSONHandler(audit, nil))
	}
	return l, nil
}

func (l *logs) open(where string, stdout, stderr io.Writer) (io.Writer, error) {
	switch where {
	case "off":
		return nil, nil
	case "stdout":
		return stdout, nil
	case "stderr":
		return stderr, nil
	}
	f, err := openLog(where)
	if err != nil {
		return nil, err
	}
	l.files = append(l.files, f)
	return f, nil
}

func (l *logs) reopen() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.reopen())
	}
	return errors.Join(errs...)
}

func (l *logs) close() error {
	var errs []error
	if l.records != nil {
		l.records.Flush()
	}
	for _, f := range l.files {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}
