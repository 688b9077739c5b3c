// Package atomicfile writes files in one step: readers see the old content or the new
// one, never a part, and whatever fails leaves the old one.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Write puts data in the place of a file, which keeps its mode and owner. A file that is
// new gets the mode. What is written lasts when Write returns nil.
func Write(path string, data []byte, mode fs.FileMode) error {
	before, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing a file: %w", err)
	}
	folder := filepath.Dir(path)
	if err := replace(path, data, mode, before); err != nil {
		return fmt.Errorf("writing %s, which is as it was: %w (hint: is there room, and may you write into %s?)", path, err, folder)
	}
	if err := syncFolder(folder); err != nil {
		return fmt.Errorf("%s is written, but a power cut could bring the old one back: %w", path, err)
	}
	return nil
}

// replace puts data in the place of a file, as one step, or changes nothing.
func replace(path string, data []byte, mode fs.FileMode, like fs.FileInfo) (err error) {
	next, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = next.Close()
			_ = os.Remove(next.Name())
		}
	}()
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
