// Package atomicfile replaces files in one step. A reader sees either the old
// content or the new one, never a part of it, and a write that fails leaves the old
// file in place.
//
// The new content is written to a temporary file in the same folder, synced to disk
// and renamed. A symbolic link is replaced, not followed.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Write replaces the content of a file, which keeps its mode and owner. A file that
// does not exist yet is created with the given mode. The content is on disk when
// Write returns nil.
func Write(path string, data []byte, mode fs.FileMode) error {
	old, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing a file: %w", err)
	}
	return write(path, func(file *os.File) error {
		if old != nil {
			mode = old.Mode().Perm()
			// Without this a service whose file root edits could not read it afterwards.
			if err := copyOwner(file, old); err != nil {
				return err
			}
		}
		if err := file.Chmod(mode); err != nil {
			return err
		}
		_, err := file.Write(data)
		return err
	})
}

// WriteSecret replaces a file with what content writes. The new file belongs to the
// user of this process and no one else can read it, whatever mode and owner the old
// file had.
func WriteSecret(path string, content func(io.Writer) error) error {
	return write(path, func(file *os.File) error { return content(file) })
}

// write fills a temporary file, which has mode 0600 at first, and renames it.
func write(path string, fill func(*os.File) error) error {
	folder := filepath.Dir(path)
	if err := replace(path, fill); err != nil {
		return fmt.Errorf("writing %s, which is unchanged: %w (hint: check the free space and whether you may write to %s)", path, err, folder)
	}
	if err := syncFolder(folder); err != nil {
		return fmt.Errorf("%s is written, but a power failure could restore the old file: %w", path, err)
	}
	return nil
}

func replace(path string, fill func(*os.File) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	if err := fill(file); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// copyOwner gives file the owner and group of the old file.
func copyOwner(file *os.File, old fs.FileInfo) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	want, wantOK := old.Sys().(*syscall.Stat_t)
	got, gotOK := info.Sys().(*syscall.Stat_t)
	if !wantOK || !gotOK || want.Uid == got.Uid && want.Gid == got.Gid {
		return nil
	}
	return file.Chown(int(want.Uid), int(want.Gid))
}

// syncFolder writes the rename to disk.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
