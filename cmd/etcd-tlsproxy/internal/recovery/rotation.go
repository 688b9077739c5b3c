package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

const (
	nameLayout = "etcd-20060102T150405Z"
	// Incomplete backups have a dot before their names, so that neither a glob nor a
	// person mistakes them for backups.
	partialPrefix = ".partial-"
	expiredPrefix = ".expired-"
	// markerFile is in every folder that is being written or removed. Leftovers without
	// it are not ours.
	markerFile = ".etcd-tlsproxy-backup"
)

var backupName = regexp.MustCompile(`^(\.partial-|\.expired-)?etcd-\d{8}T\d{6}Z$`)

// lock prevents a second backup into the folder until unlock is called. The system
// releases the lock if this process is killed.
func lock(folder string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(folder, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the folder of the backups: %w (hint: --dir must be a folder in which this user may write)", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another backup into %s is running (hint: wait for it; each member needs a folder of its own)", folder)
		}
		return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
	}
	return func() {
		// Closing is not enough: a child that was forked at this moment holds the same
		// lock until it executes its program.
		_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
		_ = file.Close()
	}, nil
}

// createPartial creates the folder that a backup is written into.
func createPartial(folder string, at time.Time) (partial, final string, err error) {
	name := at.UTC().Format(nameLayout)
	final = filepath.Join(folder, name)
	if _, err := os.Lstat(final); err == nil {
		return "", "", fmt.Errorf("%s already exists (hint: the names have a resolution of one second; try again)", final)
	}
	partial = filepath.Join(folder, partialPrefix+name)
	if err := os.Mkdir(partial, 0o700); err != nil {
		return "", "", err
	}
	return partial, final, os.WriteFile(filepath.Join(partial, markerFile), nil, 0o600)
}

// publish renames a complete backup after syncing it to disk.
func publish(partial, final string) error {
	if err := os.Remove(filepath.Join(partial, markerFile)); err != nil {
		return err
	}
	if err := syncAll(partial); err != nil {
		return err
	}
	if err := os.Rename(partial, final); err != nil {
		return err
	}
	return syncPath(filepath.Dir(final))
}

// syncAll syncs all files and folders below a folder.
func syncAll(folder string) error {
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(path)
	})
}

func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}

// removeStale removes the remains of backups that were killed.
func removeStale(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if !entry.IsDir() || !backupName.MatchString(name) || name[0] != '.' {
			continue
		}
		if _, err := os.Lstat(filepath.Join(folder, name, markerFile)); err != nil {
			continue
		}
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	return nil
}

// backupNames returns the names of the backups in a folder, the newest first. It leaves out
// what is being written or removed.
func backupNames(folder string) (names []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, entry := range slices.Backward(entries) { // they are sorted by name
		if name := entry.Name(); name[0] != '.' && entry.IsDir() && backupName.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// rotate removes all but the newest keep backups and returns the removed names. It keeps
// the backup that was just made, even if a clock that was set back sorts it last. It
// neither counts nor removes folders without a manifest of ours.
func rotate(folder, made string, keep int) ([]string, error) {
	names, err := backupNames(folder)
	if err != nil {
		return nil, err
	}
	var removed []string
	kept := 1
	for _, name := range names {
		path := filepath.Join(folder, name)
		if name == filepath.Base(made) {
			continue
		}
		m, err := readManifest(path)
		if err != nil {
			continue
		}
		if kept < keep {
			if hasAllFiles(path, m) {
				kept++
			}
			continue
		}
		// Rename it first: a partly removed backup must not look like a backup.
		expired := filepath.Join(folder, expiredPrefix+name)
		if err := os.WriteFile(filepath.Join(path, markerFile), nil, 0o600); err != nil {
			return removed, err
		}
		if err := os.Rename(path, expired); err != nil {
			return removed, err
		}
		if err := os.RemoveAll(expired); err != nil {
			return removed, err
		}
		removed = append(removed, name)
	}
	return removed, nil
}

// Listed is a backup in a folder of backups.
type Listed struct {
	Path  string    `json:"path"`
	Time  time.Time `json:"time"`
	Bytes int64     `json:"bytes"`
	Keys  *Keys     `json:"keys,omitempty"`
	// Problem says why it cannot be used. The digests of its files are not compared.
	Problem string `json:"problem,omitempty"`
}

// List lists the backups in a folder, the newest first. It leaves out what is being
// written or removed.
func List(folder string) ([]Listed, error) {
	names, err := backupNames(folder)
	if err != nil {
		return nil, fmt.Errorf("listing the backups: %w", err)
	}
	found := []Listed{}
	for _, name := range names {
		one := Listed{Path: filepath.Join(folder, name)}
		m, err := readManifest(one.Path)
		switch {
		case err != nil:
			one.Problem = err.Error()
		case !hasAllFiles(one.Path, m):
			one.Problem = "files are missing, or have another size"
		}
		if err == nil {
			one.Time, one.Bytes, one.Keys = m.Time, m.Size(), m.Keys
		}
		found = append(found, one)
	}
	return found, nil
}

// hasAllFiles reports whether all files exist. A backup that lost some does not count as
// kept.
func hasAllFiles(folder string, m *Manifest) bool {
	for _, f := range m.Files {
		info, err := os.Stat(filepath.Join(folder, f.Path))
		if err != nil || info.Size() != f.Size {
			return false
		}
	}
	return true
}
