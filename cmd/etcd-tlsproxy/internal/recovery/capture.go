package recovery

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// fill writes a backup into a folder.
func (b *Backup) fill(ctx context.Context, source Identity, partial string) (*Manifest, error) {
	m := &Manifest{MadeBy: madeBy, Time: b.Now().UTC().Truncate(time.Second), Source: Source{Identity: source}, WithV3: b.WithV3}
	var member *memberReader
	var before, after *tree
	var err error
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
	scratch := filepath.Join(partial, "scratch")
	compacted, copied, err := b.compactCopy(ctx, scratch)
	if err != nil {
		return nil, err
	}
	m.Keys = copied.keys()
	if !b.Offline {
		if after, err = member.readKeys(ctx, false); err != nil {
			return nil, err
		}
		if m.Keys.Compared, err = checkSame(before, after, copied, b.Now()); err != nil {
			return nil, err
		}
	}
	if err := runBackupTool(ctx, b.Tool, compacted, "", partial, b.WithV3); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(scratch); err != nil {
		return nil, err
	}
	if m.Copy, err = Identify(partial, ""); err != nil {
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
