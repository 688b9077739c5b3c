package recovery

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/snapshot"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/direct"
	"etcd-tlsproxy/proxy/v2v3"
)

// v3Store is a cluster whose v3 store has a tree.
type v3Store struct {
	*proxytest.Cluster
	release proxytest.Release
	dir     string
	store   *snapshot.Store
	writer  *direct.Writer
}

// eachStore runs a test with a cluster of each etcd that is at hand and has a tool that restores
// snapshots.
func eachStore(t *testing.T, members int, test func(*testing.T, *v3Store)) {
	t.Helper()
	for _, release := range proxytest.Releases() {
		if release.Restorer() == "" {
			continue
		}
		t.Run(release.Name, func(t *testing.T) {
			t.Parallel()
			test(t, startStore(t, release, members))
		})
	}
}

func startStore(t *testing.T, release proxytest.Release, members int) *v3Store {
	t.Helper()
	s := &v3Store{release: release, dir: t.TempDir(), store: &snapshot.Store{Timeout: 10 * time.Second}}
	var err error
	s.Cluster, err = release.Cluster(s.dir, members)
	t.Cleanup(s.Close)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Members {
		at, err := url.Parse(m.URL())
		if err != nil {
			t.Fatal(err)
		}
		s.store.Endpoints = append(s.store.Endpoints, v2v3.Endpoint{Addr: at.Host})
	}
	if err := direct.Init(s.store.Endpoints[0], "", 1000); err != nil {
		t.Fatal(err)
	}
	if s.writer, err = direct.Open(s.store.Endpoints[0], ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.writer.Close)
	return s
}

// put sets keys to a value.
func (s *v3Store) put(t *testing.T, value string, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := s.writer.Put(key, value); err != nil {
			t.Fatal(err)
		}
	}
}

// dataDir returns the data folder of a member.
func (s *v3Store) dataDir(i int) string { return filepath.Join(s.dir, s.Members[i].Name(), "data") }

// backup returns a backup of the store into a folder.
func (s *v3Store) backup(folder string, at time.Time) *Backup {
	return &Backup{Store: s.store, DataDir: s.dataDir(0), Folder: folder, Keep: 2, Verify: true, Tool: s.release.Restorer(), Etcd: s.release.Program,
		Now: func() time.Time { return at }}
}

// TestABackupOfAV3StoreIsASnapshot takes backups of a running member and of a stopped one.
func TestABackupOfAV3StoreIsASnapshot(t *testing.T) {
	t.Parallel()
	eachStore(t, 1, func(t *testing.T, s *v3Store) {
		s.put(t, "1", "/a/b", "/a/_hidden")
		folder, at := filepath.Join(t.TempDir(), "backups"), time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
		first := run(t, s.backup(folder, at))
		m := first.Manifest
		if m.Tree == nil || m.Keys.Count != 2 || m.Tree.Directories != 1 || !m.Keys.Verified || m.Source.Name != s.Members[0].Name() || m.Index <= 1000 {
			t.Errorf("got the manifest %+v with %+v and %+v, want 2 verified keys in a directory", m, m.Keys, m.Tree)
		}
		var text strings.Builder
		if err := first.Text(&text); err != nil || !strings.Contains(text.String(), "a snapshot of the v3 store") {
			t.Errorf("got the text %q, %v; want that it is a snapshot", &text, err)
		}
		v, err := Verify(t.Context(), Tools{Etcd: s.release.Program, Restorer: s.release.Restorer()}, first.Path, func(int64) {})
		if err != nil || !v.Compared || v.Found.Count != 2 || len(v.Unknown) > 0 {
			t.Errorf("verifying it: got %+v, %v; want that all is as it was", v, err)
		}
		offline := s.backup(folder, at.Add(time.Minute))
		offline.Offline = true
		if _, err := offline.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "an etcd runs on") {
			t.Errorf("copying the folder of a running member: got the error %v, want that it runs", err)
		}
		s.put(t, "2", "/c")
		s.writer.Close()
		s.Close()
		if _, err := s.backup(folder, at.Add(time.Minute)).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--offline") {
			t.Errorf("a backup while etcd is away: got the error %v, want one that names --offline", err)
		}
		second := run(t, offline)
		if second.Manifest.Keys.Count != 3 || second.Manifest.Source.Cluster != m.Source.Cluster {
			t.Errorf("got %+v from the stopped member, want its last write as well", second.Manifest)
		}
		third := s.backup(folder, at.Add(2*time.Minute))
		third.Offline = true
		if removed := run(t, third).Removed; !slices.Equal(removed, []string{filepath.Base(first.Path)}) {
			t.Errorf("got %v removed, want the oldest of 3 backups", removed)
		}
	})
}

// TestADamagedSnapshotIsNoBackup changes a backup in ways that its own checksums notice or not.
func TestADamagedSnapshotIsNoBackup(t *testing.T) {
	t.Parallel()
	s := startStore(t, proxytest.Release{Name: "3.5"}, 1)
	s.put(t, "1", "/a/b")
	b := s.backup(t.TempDir(), time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC))
	b.Verify = false
	made := run(t, b)
	file := filepath.Join(made.Path, snapshotFile)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(whole[:len(whole)-1:len(whole)-1], whole[len(whole)-1]^1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(made.Path, func(int64) {}); err == nil || !strings.Contains(err.Error(), "snapshot.db has changed") {
		t.Errorf("a changed snapshot: got the error %v, want that it has changed", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(made.Path, func(int64) {}); err == nil || !strings.Contains(err.Error(), "snapshot.db is missing") {
		t.Errorf("no snapshot: got the error %v, want that it is missing", err)
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	other := *made.Manifest
	other.Keys = &Keys{Count: 9, Digest: "sha256:0"}
	if err := other.write(made.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), Tools{}, made.Path, func(int64) {}); err == nil || !strings.Contains(err.Error(), "other keys than its manifest says") {
		t.Errorf("a manifest of other keys: got the error %v, want that they differ", err)
	}
}

// TestAFailedSnapshotLeavesNothing asks a store without a tree.
func TestAFailedSnapshotLeavesNothing(t *testing.T) {
	t.Parallel()
	s := startStore(t, proxytest.Release{Name: "3.5"}, 1)
	b := s.backup(t.TempDir(), time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC))
	b.Verify = false
	other := *s.store
	other.Prefix = "other"
	b.Store = &other
	if _, err := b.Run(context.WithoutCancel(t.Context())); !errors.Is(err, snapshot.ErrNoTree) {
		t.Errorf("got the error %v, want that there is no tree", err)
	}
	if left := names(t, b.Folder); left != "" && left != ".lock" {
		t.Errorf("got %s in the folder of the backups, want nothing but the lock", left)
	}
}
