package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
)

// The backup tool drops the log's records about members. Each of them has advanced the
// index by one, so without them all later writes get lower indexes when the log is
// replayed: a write that was conditional on an index (prevIndex) then fails and IS LOST,
// and in-order keys get other names. Such records are in every log, because each start
// of a member writes one.
//
// Entries before a snapshot are not replayed. So the member's files are copied first, an
// etcd replays the copy like the member itself would, and then makes a snapshot of it.
// The tool gets that compacted copy.

// compactCopy makes a copy of the data folder in which everything is in a snapshot. It
// creates the copy in scratch, and also returns its keys.
func (b *Backup) compactCopy(ctx context.Context, scratch string) (compacted string, copied *tree, err error) {
	compacted = filepath.Join(scratch, "compacted")
	for attempt := 1; ; attempt++ {
		err = b.copyLive(ctx, scratch, compacted)
		if err == nil {
			copied, err = b.snapshot(ctx, compacted)
		}
		permanent := errors.Is(err, etcdtool.ErrNotIsolated) || errors.Is(err, syscall.ENOSPC)
		if err == nil || permanent || attempt == maxCopyAttempts || ctx.Err() != nil {
			return compacted, copied, err
		}
		b.note("copying again: %v", err)
		if err := os.RemoveAll(scratch); err != nil {
			return "", nil, err
		}
	}
}

// maxCopyAttempts bounds the attempts to copy a live log. A record that is written during
// the copy may be torn in a way that etcd reports as corruption.
const maxCopyAttempts = 3

// copyLive copies the files of a member that may be running. The order matters: the
// tool's v3 store must be at least as new as the snapshot, and the log as the store.
func (b *Backup) copyLive(ctx context.Context, scratch, compacted string) error {
	snapDir, walDir := filepath.Join(b.DataDir, "member", "snap"), b.WALDir
	if walDir == "" {
		walDir = memberhost.LogOf(b.DataDir, "")
	}
	if err := copyFiles(snapDir, filepath.Join(compacted, "member", "snap"), ".snap"); err != nil {
		return err
	}
	byTool := filepath.Join(scratch, "tool")
	if err := etcdtool.Backup(ctx, b.Tool, b.DataDir, b.WALDir, byTool, b.WithV3); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(byTool, "member", "snap", "db"), filepath.Join(compacted, "member", "snap", "db")); err != nil {
		return err
	}
	if err := os.RemoveAll(byTool); err != nil {
		return err
	}
	before, err := listFiles(walDir, ".wal")
	if err != nil {
		return err
	}
	if err := copyFiles(walDir, filepath.Join(compacted, "member", "wal"), ".wal"); err != nil {
		return err
	}
	after, err := listFiles(walDir, ".wal")
	if err == nil && !slices.Equal(before, after) {
		err = errors.New("etcd started a new file of its log during the copy")
	}
	return err
}

// copyFiles copies the files with a suffix in the order of their names, so the start of
// the log comes first.
func copyFiles(from, to, suffix string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	names, err := listFiles(from, suffix)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

func listFiles(folder, suffix string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	var names []string
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), suffix) && entry.Type().IsRegular() {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

func copyFile(from, to string) error {
	in, err := memberhost.OpenOwned(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if info, err := in.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%s is not a regular file", from))
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return out.Close()
}

// snapshot starts an etcd on the copy to read its keys and its last index, and then a
// second one that makes a snapshot when it reaches that index.
func (b *Backup) snapshot(ctx context.Context, folder string) (copied *tree, err error) {
	var end uint64
	err = b.withSandbox(ctx, folder, func(s *sandbox) error {
		if copied, err = s.readKeys(ctx); err != nil {
			return err
		}
		if err = s.changePeerURL(ctx); err != nil {
			return err
		}
		end, err = s.raftIndex(ctx)
		return err
	}, "--force-new-cluster")
	if err != nil {
		return nil, err
	}
	had, err := snapshotIndex(folder)
	if err != nil {
		return nil, err
	}
	due := max(int64(end)-int64(had)-1, 1)
	return copied, b.withSandbox(ctx, folder, func(s *sandbox) error {
		return s.WaitUntil(ctx, func(ctx context.Context) error {
			if _, err := s.raftIndex(ctx); err != nil { // the read itself advances the index
				return err
			}
			has, err := snapshotIndex(folder)
			if err == nil && has < end {
				err = fmt.Errorf("it has made no snapshot of index %d", end)
			}
			return err
		})
	}, "--snapshot-count="+strconv.FormatInt(due, 10))
}

// defaultPeerURL is etcd's default, and the peer URL of a member after
// --force-new-cluster.
const defaultPeerURL = "http://localhost:2380"

// changePeerURL gives the copied member another peer URL if it has the default one. When
// two members would have the same peer URL, etcd leaves out the new one, removes the old
// one, and exits because no member is left.
func (s *sandbox) changePeerURL(ctx context.Context) error {
	all, err := s.members.List(ctx)
	if err != nil {
		return fmt.Errorf("listing the copy's members: %w", err)
	}
	for _, m := range all {
		if !slices.Contains(m.PeerURLs, defaultPeerURL) {
			continue
		}
		if err := s.members.Update(ctx, m.ID, []string{"http://backup.invalid:2380"}); err != nil {
			return fmt.Errorf("changing the peer URL of the copy's member: %w", err)
		}
	}
	return nil
}

// withSandbox runs do with an etcd on a folder, and then stops it cleanly.
func (b *Backup) withSandbox(ctx context.Context, folder string, do func(*sandbox) error, flag string) (err error) {
	s, err := startSandbox(ctx, b.Etcd, folder, flag)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := do(s); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, etcdtool.Timeout)
	defer cancel()
	return s.Stop(ctx)
}

// snapshotIndex returns the index of the newest snapshot in a data folder, or 0 if there
// is none. The name of a snapshot contains the term and the index.
func snapshotIndex(dataDir string) (uint64, error) {
	names, err := listFiles(filepath.Join(dataDir, "member", "snap"), ".snap")
	if errors.Is(err, fs.ErrNotExist) || len(names) == 0 {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	_, index, ok := strings.Cut(strings.TrimSuffix(names[len(names)-1], ".snap"), "-")
	if !ok {
		return 0, fmt.Errorf("%s is not a valid name of a snapshot", names[len(names)-1])
	}
	return strconv.ParseUint(index, 16, 64)
}
