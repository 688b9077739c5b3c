package passwd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
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
	file, before, err := open(path, create)
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
	if err := replace(path, data, before); err != nil {
		return fmt.Errorf("writing %s, which is as it was: %w (hint: is there room, and may you write into %s?)", path, err, folder)
	}
	if err := syncFolder(folder); err != nil {
		return fmt.Errorf("%s is edited, but a power cut could bring the old one back: %w", path, err)
	}
	return nil
}

// open reads the file that is edited, and what it is like.
func open(path string, create bool) (*File, fs.FileInfo, error) {
	info, err := os.Lstat(path)
	switch {
	case create && err == nil:
		return nil, nil, fmt.Errorf("%s exists already (hint: leave --create out)", path)
	case create && errors.Is(err, fs.ErrNotExist):
		file, err := Parse(path, nil)
		return file, nil, err
	case err != nil:
		return nil, nil, fmt.Errorf("reading a htpasswd file: %w", err)
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%s is no ordinary file", path)
	}
	file, err := Read(path)
	return file, info, err
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

// replace puts data in the place of a file, as one step, or changes nothing.
func replace(path string, data []byte, like fs.FileInfo) (err error) {
	next, err := os.CreateTemp(filepath.Dir(path), ".htpasswd-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = next.Close()
			_ = os.Remove(next.Name())
		}
	}()
	mode := fs.FileMode(newMode)
	if like != nil {
		mode = like.Mode().Perm()
		if err := keepOwner(next, like); err != nil {
			return err
		}
	}
	if err := next.Chmod(mode); err != nil {
		return err
	}
	if _, err := next.Write(data); err != nil {
		return err
	}
	if err := next.Sync(); err != nil {
		return err
	}
	if err := next.Close(); err != nil {
		return err
	}
	return os.Rename(next.Name(), path)
}

// keepOwner gives the new file the owner and group of the old one, whoever edits it:
// else the service could not read it afterwards.
func keepOwner(file *os.File, like fs.FileInfo) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	old, ok := like.Sys().(*syscall.Stat_t)
	own, okToo := info.Sys().(*syscall.Stat_t)
	if !ok || !okToo || old.Uid == own.Uid && old.Gid == own.Gid {
		return nil
	}
	return file.Chown(int(old.Uid), int(old.Gid))
}

// syncFolder makes a rename last.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
