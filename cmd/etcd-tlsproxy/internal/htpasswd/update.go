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

// Read reads a file.
func Read(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a htpasswd file: %w", err)
	}
	return Parse(path, data)
}

// newMode is that of a file which is made: its group can be the service's.
const newMode = 0o640

// Update edits a file while no other Update of its folder runs. The change is written
// beside the file, synced, and takes its place; mode and owner stay. A link is followed.
// If create is set there must be no such file yet, and the edit begins with an empty one.
func Update(path string, create bool, edit func(*File) ([]byte, error)) error {
	folder := filepath.Dir(path)
	if !create {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return fmt.Errorf("reading a htpasswd file: %w (hint: add --create makes a new one)", err)
		}
		path, folder = real, filepath.Dir(real)
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
		return fmt.Errorf("the edited file would not be accepted, nothing was written: %w", err)
	}
	return atomicfile.Write(path, data, newMode)
}

// open reads the file that is edited.
func open(path string, create bool) (*File, error) {
	info, err := os.Lstat(path)
	switch {
	case create && err == nil:
		return nil, fmt.Errorf("%s exists already (hint: leave --create out)", path)
	case create && errors.Is(err, fs.ErrNotExist):
		return Parse(path, nil)
	case err != nil:
		return nil, fmt.Errorf("reading a htpasswd file: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no ordinary file", path)
	}
	return Read(path)
}

// lock keeps others out of a folder's htpasswd files. The folder itself is locked: a
// lock on the file would be on the one that is replaced.
func lock(folder string) (unlock func(), err error) {
	d, err := os.Open(folder)
	if err != nil {
		return nil, fmt.Errorf("locking the folder: %w", err)
	}
	for {
		err = unix.Flock(int(d.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("locking the folder %s: %w", folder, err)
	}
	return func() { _ = d.Close() }, nil // the lock goes with it
}
