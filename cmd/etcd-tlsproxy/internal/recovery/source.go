package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
)

// source is what a cluster is recovered from.
type source struct {
	path string
	// walDir is the folder of the log of a data folder, or "" if it is inside.
	walDir   string
	identity memberhost.Identity
	// manifest is nil for a member's data folder.
	manifest *Manifest
}

// logDir returns the folder of the log.
func (s *source) logDir() string { return memberhost.LogOf(s.path, s.walDir) }

// openSource checks a whole backup, or identifies a data folder.
func (r *Recovery) openSource(read func(int64)) (*source, error) {
	path, err := filepath.Abs(r.Backup)
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
		return r.openDataFolder(path)
	}
	if r.BackupWALDir != "" {
		return nil, errors.New("--backup-wal-dir is for the data folder of a member, but --backup is a backup, which has its log inside")
	}
	if _, err := os.Lstat(filepath.Join(path, markerFile)); err == nil {
		return nil, fmt.Errorf("the backup %s is incomplete (hint: use one whose name begins with etcd-)", path)
	}
	m, err := Check(path, read)
	if err != nil {
		return nil, err
	}
	return &source{path: path, identity: m.Copy, manifest: m}, nil
}

// openDataFolder identifies the member of a data folder.
func (r *Recovery) openDataFolder(path string) (*source, error) {
	from := &source{path: path, walDir: r.BackupWALDir}
	first := r.Members[0]
	if same, err := sameFolder(r.dataDir(first), path); from.walDir == "" && same && err == nil {
		from.walDir = r.walDir(first)
	}
	if from.walDir != "" {
		var err error
		if from.walDir, err = filepath.Abs(from.walDir); err != nil {
			return nil, err
		}
	}
	var err error
	from.identity, err = memberhost.Identify(path, from.walDir)
	return from, err
}

// checkTarget refuses a folder that overlaps with the source, except that a member can be
// recovered from its own data.
func checkTarget(folder string, from *source) error {
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	paths := []string{from.path, from.logDir()}
	if from.manifest != nil && from.manifest.Tree != nil {
		paths = paths[:1] // a snapshot has no log
	}
	for _, path := range paths {
		same, err := sameFolder(folder, path)
		if err != nil || same {
			return err
		}
	}
	within, err := isWithin(from.path, folder)
	if err == nil && !within {
		within, err = isWithin(folder, from.path)
	}
	if err == nil && within {
		err = fmt.Errorf("one of the backup %s and the member's folder %s is inside of the other", from.path, folder)
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
