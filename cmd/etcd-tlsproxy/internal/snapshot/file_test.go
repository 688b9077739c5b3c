package snapshot

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// embedded is the etcd that is linked in.
var embedded = proxytest.Release{Name: "3.5"}

// TestADamagedSnapshotIsRefused damages a snapshot in ways that the checksum finds, and in ways that only
// its content shows.
func TestADamagedSnapshotIsRefused(t *testing.T) {
	s, before, _ := startStore(t, embedded, "")
	before.do("PUT /a/b?value=1")
	file := filepath.Join(t.TempDir(), "snapshot.db")
	if _, err := s.Save(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(data []byte) []byte {
		sum := sha256.Sum256(data)
		return append(data, sum[:]...)
	}
	database := func() []byte { return append([]byte(nil), good[:len(good)-sha256.Size]...) }
	for what, c := range map[string]struct {
		data []byte
		want string
	}{
		"cut off":           {good[:len(good)/2], "which is no database with a checksum"},
		"one byte changed":  {append(append(append([]byte(nil), good[:5000]...), good[5000]^1), good[5001:]...), "its checksum is wrong"},
		"empty":             {nil, "it has 0 bytes"},
		"pages overwritten": {sealed(append(database()[:2*os.Getpagesize()], make([]byte, len(good)-sha256.Size-2*os.Getpagesize())...)), ""},
		"not a database":    {sealed(make([]byte, 8192)), "is not a valid database"},
	} {
		damaged := filepath.Join(t.TempDir(), "damaged.db")
		if err := os.WriteFile(damaged, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(damaged, "", func(int64) {}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), damaged) {
			t.Errorf("a snapshot that is %s: got the error %v, want one that names it and says %q", what, err, c.want)
		}
	}
	if _, _, err := Read(file, "other", func(int64) {}); !errors.Is(err, ErrNoTree) {
		t.Errorf("a snapshot whose tree has another prefix: got the error %v, want that it has no tree", err)
	}
}

// TestNodesThatLackAPartAreCounted removes the value of a file and the record of a directory.
func TestNodesThatLackAPartAreCounted(t *testing.T) {
	s, before, _ := startStore(t, embedded, "")
	before.do("PUT /a/b?value=1")
	before.do("PUT /c?value=1")
	before.Close()
	keys := layout.Keys("")
	for _, key := range [][]byte{keys.Dir("/a"), keys.Data("/c")} {
		if _, err := client(t, s).Txn(t.Context(), &pb.TxnRequest{Success: []*pb.RequestOp{
			{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key}}}}}); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "snapshot.db")
	if _, err := s.Save(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	got, _, err := Read(file, "", func(int64) {})
	if err != nil || got.Files != 2 || got.Dirs != 0 || got.Broken != 2 {
		t.Errorf("got %+v, %v; want 2 files that lack a part", got, err)
	}
	live, err := readStore(t.Context(), client(t, s), keys)
	if err != nil || live.Digest != got.Digest || live.Broken != got.Broken {
		t.Errorf("the store has %+v, %v; want what its snapshot has, %+v", live, err, got)
	}
}

func TestAStoreWithoutATreeIsNotSaved(t *testing.T) {
	s, _, _ := startStore(t, embedded, "")
	other := *s
	other.Prefix = "other"
	file := filepath.Join(t.TempDir(), "snapshot.db")
	if _, err := other.Save(t.Context(), file); !errors.Is(err, ErrNoTree) {
		t.Errorf("got the error %v, want that there is no tree", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was written: %v", err)
	}
}

// TestASnapshotNeedsTheRoleRoot enables etcd's authentication, with which only that role may ask for
// snapshots, and restores one.
func TestASnapshotNeedsTheRoleRoot(t *testing.T) {
	eachRelease(t, func(t *testing.T, release proxytest.Release) {
		s, before, _ := startStore(t, release, "")
		before.do("PUT /a?value=1")
		enableAuth(t.Context(), t, s)
		file := filepath.Join(t.TempDir(), "snapshot.db")
		limited := *s
		limited.User, limited.Password = "tree", "secret"
		if _, err := limited.Save(t.Context(), file); err == nil || !strings.Contains(err.Error(), "role root") {
			t.Errorf("a snapshot by a user without that role: got the error %v, want one that names it", err)
		}
		all := *s
		all.User, all.Password = "root", "secret"
		if _, err := all.Save(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		if _, auth, err := Read(file, "", func(int64) {}); err != nil || !auth {
			t.Errorf("got authentication %t, %v; want that it is enabled in the snapshot", auth, err)
		}
		r := Restore{Snapshot: file, Into: filepath.Join(t.TempDir(), "restored"), Name: "conf1001", PeerURL: "http://127.0.0.1:2380", Token: "again",
			Raise: 1000, Tool: release.Restorer(), Etcd: release.Program}
		if _, err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--password-file") {
			t.Errorf("a restore without a password: got the error %v, want one that names the flags", err)
		}
		r.User, r.Password = "root", "secret"
		if restored, err := r.Run(t.Context()); err != nil || restored.Tree.Files != 1 {
			t.Errorf("a restore with the password of root: got %+v, %v; want the tree", restored, err)
		}
	})
}
