// Package files reads the files that a configuration names, and records their states, so that
// a later change of one is noticed.
package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

// Reader reads files and records the state in which it found them.
type Reader struct {
	folder string
	seen   Stamps
}

// NewReader returns a reader. Relative names start at the folder.
func NewReader(folder string) *Reader { return &Reader{folder: folder, seen: Stamps{}} }

// Seen returns the states of all files that were read, or that should have been.
func (r *Reader) Seen() Stamps { return r.seen }

// Path returns the path of a file that the configuration names.
func (r *Reader) Path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.folder, name)
}

// LogPath returns the path of a log. The words off, stdout and stderr are not paths and
// stay as they are.
func (r *Reader) LogPath(where string) string {
	if !config.IsLogFile(where) {
		return where
	}
	return r.Path(where)
}

// Read takes the stamp before it reads, so that a change in between is noticed by
// the next poll.
func (r *Reader) Read(path string) ([]byte, error) {
	r.seen[path] = StampOf(path)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return data, nil
}

// ReadFor reads the file that a key names. It records a failure in errs.
func (r *Reader) ReadFor(errs *config.Errors, name string, key ...string) ([]byte, bool) {
	data, err := r.Read(r.Path(name))
	if err != nil {
		if wrong, ok := errors.AsType[*os.PathError](err); ok {
			err = wrong.Err // without the path, because the message begins with it
		}
		errs.Add(fmt.Sprintf("%s cannot be read: %v", r.Path(name), err), "check the path, and that the service's user can read the file", key...)
		return nil, false
	}
	return data, true
}
