package htpasswd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/atomicfile"
)

// Read reads and parses a file.
func Read(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a htpasswd file: %w", err)
	}
	return Parse(path, data)
}

// newMode is the mode of a new file, whose group can be that of the service.
const newMode = 0o640

// Update edits a file. Only one Update runs in a folder at a time. The file is replaced in
// one step and keeps its mode and owner. A symbolic link is followed. If create is set the
// file must not exist, and edit gets an empty one.
func Update(path string, create bool, edit func(*File) ([]byte, error)) error {
	folder := filepath.Dir(path)
	if !create {
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return fmt.Errorf("reading a htpasswd file: %w (hint: passwd add --create makes a new one)", err)
		}
		path, folder = target, filepath.Dir(target)
	}
	unlock, err := lock(folder)
	if err != nil {
		return err
	}
	defer unlock()
	file, err := open(path, create)
	if err != nil {
		return err
	}
	data, err := edit(file)
	if err != nil {
		return err
	}
	if _, err := Parse(path, data); err != nil {
		return fmt.Errorf("the proxy would refuse the edited file; nothing was written: %w", err)
	}
	return atomicfile.Write(path, data, newMode)
}

// open reads the file to edit.
func open(path string, create bool) (*File, error) {
	info, err := os.Lstat(path)
	switch {
	case create && err == nil:
		return nil, fmt.Errorf("%s already exists (hint: leave out --create)", path)
	case create && errors.Is(err, fs.ErrNotExist):
		return Parse(path, nil)
	case err != nil:
		return nil, fmt.Errorf("reading a htpasswd file: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return Read(path)
}

// lock waits until no other process edits htpasswd files of the folder. It locks the
// folder, because a lock on the file would be lost when the file is replaced.
func lock(folder string) (unlock func(), err error) {
	d, err := os.Open(folder)
	if err != nil {
		return nil, fmt.Errorf("locking the folder: %w", err)
	}
	for {
		err = unix.Flock(int(d.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("locking the folder %s: %w", folder, err)
	}
	return func() { _ = d.Close() }, nil // this releases the lock
}
