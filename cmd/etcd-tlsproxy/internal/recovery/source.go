package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// origin is what a cluster is recovered from.
type source struct {
	path     string
	identity Identity
	// manifest is nil for a member's data folder.
	manifest *Manifest
}

// openSource reads a backup as a whole, or looks at a data folder.
func openSource(path string, read func(int64)) (*source, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("--backup: %w", err)
	}
	backup := backupName.MatchString(filepath.Base(path))
	for _, name := range []string{manifestFile, sumsFile, markerFile} {
		_, err := os.Lstat(filepath.Join(path, name))
		backup = backup || err == nil
	}
	if !backup {
		identity, err := Identify(path, "")
		return &source{path: path, identity: identity}, err
	}
	if _, err := os.Lstat(filepath.Join(path, markerFile)); err == nil {
		return nil, fmt.Errorf("the backup %s was never finished (hint: take one whose name begins with etcd-)", path)
	}
	m, err := Check(path, read)
	if err != nil {
		return nil, err
	}
	return &source{path, m.Copy, m}, nil
}

// checkTarget refuses to put etcd's data where other things are.
func checkTarget(dataDir, backup string) error {
	entries, err := os.ReadDir(dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	if len(entries) > 0 {
		if info, err := os.Lstat(filepath.Join(dataDir, "member")); err != nil || !info.IsDir() {
			return fmt.Errorf("--data-dir %s is not empty, and there is no member/ of an etcd in it (hint: it is what etcd's --data-dir says)", dataDir)
		}
	}
	same, err := sameFolder(dataDir, backup)
	if err != nil || same {
		return err
	}
	within, err := isWithin(backup, dataDir)
	if err == nil && !within {
		within, err = isWithin(dataDir, backup)
	}
	if err == nil && within {
		err = fmt.Errorf("the backup %s and --data-dir %s are one within the other", backup, dataDir)
	}
	return err
}

func sameFolder(a, b string) (bool, error) {
	first, err := os.Stat(a)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second), err
}
