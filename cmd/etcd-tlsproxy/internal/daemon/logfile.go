package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// logCheckInterval is how often the paths of logs are looked at. A record in a deleted file is
// lost without an error.
const logCheckInterval = time.Second

// watch checks the files of logs until ctx ends. It does not share the loop of the reloads,
// which can take long.
func (l *logs) watch(ctx context.Context) {
	ticker := time.NewTicker(logCheckInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = l.check() // the logs report it
		}
	}
}

// check opens files of logs again that are not at their paths any more. The error names those
// that cannot be opened.
func (l *logs) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.access.check(), l.audit.check())
}

// check is [logs.check] for one log.
func (o *output) check() error {
	if o.file == nil {
		return nil
	}
	open, err := o.file.Stat()
	if err != nil || !open.Mode().IsRegular() {
		return nil // a device or a pipe has no other place
	}
	at, err := os.Stat(o.where)
	if err == nil && os.SameFile(open, at) {
		o.moved, o.away = false, false
		o.log.Seen()
		return nil
	}
	deleted := links(open) == 0
	if !o.moved && !deleted {
		o.moved = true // logrotate has renamed the file, and its signal is on the way
		return nil
	}
	what := "another file is at the path"
	if errors.Is(err, os.ErrNotExist) {
		what = "no file was at the path"
	}
	file, err := openAgain(o.where, at, open)
	if err != nil {
		err = fmt.Errorf("records go to a file that is no longer at %s: %w", o.where, err)
		o.away = true
		o.log.Away(err, deleted)
		return err
	}
	return o.adopt(file, what, deleted)
}

// adopt writes the log to the file that is at its path now.
func (o *output) adopt(file *os.File, what string, deleted bool) error {
	old := o.file
	o.file, o.moved, o.away = file, false, false
	o.log.Reopen(file, what, deleted)
	return old.Close()
}

// openAgain opens the file at the path of a log, where at was found, or nil. A new file gets
// the rights of the old one.
func openAgain(path string, at, old os.FileInfo) (*os.File, error) {
	if at != nil && !at.Mode().IsRegular() { // to open a pipe could take forever
		return nil, fmt.Errorf("%s is no regular file (%v); remove it", path, at.Mode().Type())
	}
	file, err := openLog(path)
	if err != nil || at != nil {
		return file, err
	}
	if sys, ok := old.Sys().(*syscall.Stat_t); ok {
		_ = file.Chown(int(sys.Uid), int(sys.Gid)) // only root may give files away
	}
	if err := file.Chmod(old.Mode().Perm()); err != nil {
		return nil, errors.Join(fmt.Errorf("the rights of the log: %w", err), file.Close())
	}
	return file, nil
}

// links returns the number of names of a file: 0 if it is deleted.
func links(info os.FileInfo) uint64 {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(sys.Nlink) //nolint:unconvert // its type depends on the system
	}
	return 1
}
