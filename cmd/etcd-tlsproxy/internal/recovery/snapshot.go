package recovery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize/english"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/snapshot"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// snapshotFile is the file in a backup of a v3 store. etcd's own tools restore it as well.
const snapshotFile = "snapshot.db"

// Tree describes the tree of the v2 API in a snapshot.
type Tree struct {
	// Prefix precedes all of its keys in the v3 store.
	Prefix string `json:"prefix"`
	// Revision is the last one of the store.
	Revision int64 `json:"revision"`
	// Directories are counted like the keys, with the hidden ones. Foreign counts values of the v3 API
	// between them, and Damaged the nodes that lack a part.
	Directories int `json:"directories"`
	Foreign     int `json:"foreign,omitempty"`
	Damaged     int `json:"damaged,omitempty"`
	// Auth is true if etcd's authentication is enabled.
	Auth bool `json:"auth,omitempty"`
}

// checkSnapshot finds mistakes before anything is written.
func (b *Backup) checkSnapshot() (source memberhost.Identity, err error) {
	if err := b.checkFlags(); err != nil {
		return source, err
	}
	if b.WithV3 {
		return source, errors.New("--with-v3 is for backups of the v2 store, but the configuration has upstream.api = \"v3\", and a snapshot has all keys of the v3 store (hint: leave the flag out)")
	}
	if b.Offline {
		if source, err = memberhost.Identify(b.DataDir, b.WALDir); err != nil {
			return source, err
		}
		if running, err := memberhost.InUse(b.DataDir); err != nil || running {
			return source, errors.Join(err, fmt.Errorf("an etcd runs on %s, and --offline copies the folder of a stopped one (hint: without a quorum, stopping it loses nothing; with one, leave the flag out)", b.DataDir))
		}
	}
	if _, err := os.Stat(b.DataDir); err == nil {
		if err := b.checkFolder(); err != nil {
			return source, err
		}
	}
	if b.Verify || b.Offline {
		if b.Etcd, err = etcdtool.FindEtcd(b.Etcd); err != nil {
			return source, err
		}
	}
	if b.Verify {
		b.Tool, err = etcdtool.FindTool(b.Tool)
	}
	return source, err
}

// fillSnapshot writes a backup of a v3 store into a folder.
func (b *Backup) fillSnapshot(ctx context.Context, offline memberhost.Identity, partial string) (*Manifest, error) {
	m := &Manifest{MadeBy: madeBy, Time: b.Now().UTC().Truncate(time.Second), WithV3: true}
	file := filepath.Join(partial, snapshotFile)
	scratch := filepath.Join(partial, "scratch")
	save := b.Store.Save
	if b.Offline {
		save = func(ctx context.Context, path string) (*snapshot.Source, error) {
			return b.saveOffline(ctx, scratch, path)
		}
	}
	source, err := save(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("saving a snapshot: %w (hint: etcd itself is asked, at upstream.endpoints or at --endpoints, and not its proxy; --offline copies the folder of a stopped member)", err)
	}
	m.Source = Source{source.Identity, source.Name, source.Version}
	if b.Offline {
		m.Source.Identity = offline
	}
	add, done := b.Progress.start("bytes of the snapshot read", -1)
	found, auth, err := snapshot.Read(file, b.Store.Prefix, add)
	done()
	if err != nil {
		return nil, err
	}
	if found.Index < source.Index {
		return nil, fmt.Errorf("the snapshot has index %d, but %s had index %d before (hint: try again; if it happens again, the member's data is damaged)", found.Index, source.Address, source.Index)
	}
	m.Index = found.Index
	m.Keys = &Keys{Count: found.Files, Expiring: found.Expiring, Digest: found.Digest}
	m.Tree = &Tree{Prefix: b.Store.Prefix, Revision: found.Revision, Directories: found.Dirs, Foreign: found.Foreign, Damaged: found.Broken, Auth: auth}
	if found.Broken > 0 {
		b.note("WARNING: %s in the store, which proxies leave out", english.Plural(found.Broken, "damaged node is", "damaged nodes are"))
	}
	if b.Verify {
		b.note("restoring the snapshot to compare its keys")
		if _, err := snapshot.Verify(ctx, b.restore(file), scratch); err != nil {
			return nil, err
		}
		m.Keys.Verified = true
	}
	if err := os.RemoveAll(scratch); err != nil {
		return nil, err
	}
	if m.Files, err = sumFiles(partial, func(int64) {}); err != nil {
		return nil, err
	}
	return m, m.write(partial)
}

func (b *Backup) restore(file string) snapshot.Restore {
	return snapshot.Restore{Snapshot: file, Prefix: b.Store.Prefix, Tool: b.Tool, Etcd: b.Etcd, User: b.Store.User, Password: b.Store.Password}
}

// saveOffline saves a snapshot from an etcd on a copy of the data folder: what was written last is only
// in the log.
func (b *Backup) saveOffline(ctx context.Context, scratch, path string) (_ *snapshot.Source, err error) {
	copied := filepath.Join(scratch, "offline")
	if err := copyFiles(filepath.Join(b.DataDir, "member", "snap"), filepath.Join(copied, "member", "snap"), ""); err != nil {
		return nil, err
	}
	if err := copyFiles(memberhost.LogOf(b.DataDir, b.WALDir), filepath.Join(copied, "member", "wal"), ".wal"); err != nil {
		return nil, err
	}
	etcd, err := etcdtool.Start(ctx, b.Etcd, copied, "--force-new-cluster")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, etcd.Close()) }()
	s := *b.Store
	s.Endpoints = []rpc.Endpoint{{Addr: "unix:" + etcd.Socket()}}
	var source *snapshot.Source
	err = etcd.WaitUntil(ctx, func(ctx context.Context) (err error) {
		source, err = s.Save(ctx, path)
		return err
	})
	return source, err
}

// verifySnapshot restores the snapshot of a backup, and compares it with the manifest.
func (m *Manifest) verifySnapshot(ctx context.Context, with Tools, folder string) (*Verified, error) {
	file := filepath.Join(folder, snapshotFile)
	found, auth, err := snapshot.Read(file, m.Tree.Prefix, func(int64) {})
	if err != nil {
		return nil, err
	}
	v := &Verified{Manifest: m, Found: &Keys{Count: found.Files, Expiring: found.Expiring, Digest: found.Digest}, Compared: true, Unknown: []string{}}
	if m.Keys == nil || m.Keys.Digest != found.Digest {
		return nil, fmt.Errorf("the backup %s is damaged: its snapshot has other keys than its manifest says (hint: use an older one)", folder)
	}
	if auth && with.User == "" {
		v.Unknown = append(v.Unknown, "whether an etcd restores it: etcd's authentication is enabled in it (hint: name a user of etcd with the role root with --user and --password-file)")
		return v, nil
	}
	etcd, err := etcdtool.FindEtcd(with.Etcd)
	if err != nil {
		return nil, err
	}
	tool, err := etcdtool.FindTool(with.Restorer)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "etcd-tlsproxy-verify-")
	if err != nil {
		return nil, fmt.Errorf("copying the backup: %w", err)
	}
	_, err = snapshot.Verify(ctx, snapshot.Restore{Snapshot: file, Prefix: m.Tree.Prefix, Tool: tool, Etcd: etcd, User: with.User, Password: with.Password}, scratch)
	return v, err
}
