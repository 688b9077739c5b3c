package recovery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize/english"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
)

// fill writes a backup into a folder.
func (b *Backup) fill(ctx context.Context, source memberhost.Identity, partial string) (*Manifest, error) {
	m := &Manifest{MadeBy: madeBy, Time: b.Now().UTC().Truncate(time.Second), Source: Source{Identity: source}}
	var member *memberReader
	var before, after *tree
	var err error
	if b.Offline && inUse(b.DataDir) {
		b.note("warning: an etcd runs on %s: what it has not written to its files yet, the newest writes, can be missing in the backup", b.DataDir)
	}
	if !b.Offline {
		if member, err = newMemberReader(&b.Connection); err != nil {
			return nil, err
		}
		if m.Source, err = member.identify(ctx, source); err != nil {
			return nil, err
		}
		// In a cluster only the next entry of the log records that a write is
		// committed, and a recovery drops writes that are not. This quorum read makes
		// that entry.
		if before, err = member.readKeys(ctx, true); err != nil {
			return nil, err
		}
		m.Index = before.index
	}
	b.noteV3(ctx, m, member)
	scratch := filepath.Join(partial, "scratch")
	compacted, copied, err := b.compactCopy(ctx, scratch)
	if err != nil {
		return nil, err
	}
	m.Keys = copied.keys()
	m.WithV3 = b.WithV3 && copied.hasV3
	if !b.Offline {
		if after, err = member.readKeys(ctx, false); err != nil {
			return nil, err
		}
		if m.Keys.Compared, err = checkSame(before, after, copied, b.Now()); err != nil {
			return nil, err
		}
	}
	if err := etcdtool.Backup(ctx, b.Tool, compacted, "", partial, b.WithV3); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(scratch); err != nil {
		return nil, err
	}
	if m.Copy, err = memberhost.Identify(partial, ""); err != nil {
		return nil, fmt.Errorf("reading the copy: %w", err)
	}
	if b.Verify {
		b.note("starting an etcd on a copy to compare its keys")
		final, err := verifyCopy(ctx, b.Etcd, partial, scratch)
		if err != nil {
			return nil, err
		}
		// A stopped member has no keys to compare with; those of the first copy stand in.
		if before == nil {
			before, after = copied, copied
		}
		if _, err := checkSame(before, after, final, b.Now()); err != nil {
			return nil, err
		}
		m.Keys.Verified = true
	}
	add, done := b.Progress.start("bytes of the copy read", -1)
	m.Files, err = sumFiles(partial, add)
	done()
	if err != nil {
		return nil, err
	}
	return m, m.write(partial)
}

// noteV3 records and reports which v3 keys the backup will lack. The tool cannot copy the
// v3 store of a running member, because that member has locked it.
func (b *Backup) noteV3(ctx context.Context, m *Manifest, member *memberReader) {
	if b.WithV3 {
		return
	}
	m.V3LeftOut = "the keys of the v3 store, if there are any: they were not counted, because --offline reads nothing from the running member"
	if member != nil {
		switch count, err := member.v3Keys(ctx); {
		case err != nil:
			m.V3LeftOut = fmt.Sprintf("the keys of the v3 store, if there are any: they could not be counted (%v)", err)
		case count == 0:
			m.V3LeftOut = ""
		default:
			m.V3LeftOut = "the " + english.Plural(int(count), "key", "") + " of the v3 store"
		}
	}
	if m.V3LeftOut != "" {
		b.note("WARNING: the backup will not contain %s (hint: save them with ETCDCTL_API=3 etcdctl snapshot save, or stop the member and use --offline)", m.V3LeftOut)
	}
}

// checkSame checks that a copy has the keys of the member.
func checkSame(before, after, copied *tree, now time.Time) (compared int, err error) {
	compared, differences := compare(before, after, copied, now)
	if len(differences) > 0 {
		err = fmt.Errorf("the copy differs from the member: %s", firstFew(differences))
	}
	return compared, err
}

// isWithin reports whether a path is the folder or below it. The path need not exist.
func isWithin(path, folder string) (bool, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return false, err
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	} else if parent, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(parent, filepath.Base(path))
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return false, err
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return false, err
	}
	separator := string(filepath.Separator)
	return strings.HasPrefix(path+separator, folder+separator), nil
}

// sumFiles lists the files below folder/member, or the snapshot in its place, with their digests. It
// calls read with the number of bytes of each file.
func sumFiles(folder string, read func(int64)) ([]File, error) {
	var files []File
	add := func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is not a regular file", path)
		}
		size, digest, err := digestOf(path)
		if err != nil {
			return err
		}
		read(size)
		name, err := filepath.Rel(folder, path)
		files = append(files, File{filepath.ToSlash(name), size, digest})
		return err
	}
	for _, top := range []string{"member", snapshotFile} {
		path := filepath.Join(folder, top)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := filepath.WalkDir(path, add); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func digestOf(path string) (size int64, digest string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	hash := sha256.New()
	if size, err = io.Copy(hash, file); err != nil {
		return 0, "", err
	}
	return size, hex.EncodeToString(hash.Sum(nil)), nil
}

// inUse reports whether an etcd has locked the data in a folder.
func inUse(dataDir string) bool {
	db, err := os.Open(filepath.Join(dataDir, "member", "snap", "db"))
	if err != nil {
		return false
	}
	defer db.Close() // which gives a lock back
	return errors.Is(syscall.Flock(int(db.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}
