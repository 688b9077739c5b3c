package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

// reader reads files and records the state in which it found them.
type reader struct {
	folder string
	seen   stamps
}

// path returns the path of a file that the configuration names.
func (r *reader) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.folder, name)
}

// logPath returns the path of a log. The words off, stdout and stderr are not paths and
// stay as they are.
func (r *reader) logPath(where string) string {
	switch where {
	case "off", "stdout", "stderr":
		return where
	}
	return r.path(where)
}

// read takes the stamp before it reads, so that a change in between is noticed by
// the next poll.
func (r *reader) read(path string) ([]byte, error) {
	r.seen[path] = stampOf(path)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return data, nil
}

// readFor reads the file that a key names. It records a failure in errs.
func (r *reader) readFor(errs *config.Errors, name string, key ...string) ([]byte, bool) {
	data, err := r.read(r.path(name))
	if err != nil {
		if wrong, ok := errors.AsType[*os.PathError](err); ok {
			err = wrong.Err // without the path, because the message begins with it
		}
		errs.Add(fmt.Sprintf("%s cannot be read: %v", r.path(name), err), "check the path, and that the service's user can read the file", key...)
		return nil, false
	}
	return data, true
}
