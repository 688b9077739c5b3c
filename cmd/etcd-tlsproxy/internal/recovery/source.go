package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// source is what a cluster is recovered from.
type source struct {
	path     string
	identity Identity
	// manifest is nil for a member's data folder.
	manifest *Manifest
}

// openSource checks a whole backup, or identifies a data folder.
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
		return nil, fmt.Errorf("the backup %s is incomplete (hint: use one whose name begins with etcd-)", path)
	}
	m, err := Check(path, read)
	if err != nil {
		return nil, err
	}
	return &source{path, m.Copy, m}, nil
}

// checkTarget refuses a data folder that holds anything else.
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
			return fmt.Errorf("--data-dir %s is not empty, but contains no member/ of etcd (hint: use the folder of etcd's --data-dir)", dataDir)
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
		err = fmt.Errorf("one of the backup %s and --data-dir %s is inside of the other", backup, dataDir)
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
