package snapshot

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
)

// TestNoIndexIsUsedAgainAfterARestore restores a snapshot after more was written. The tools of
// etcd 3.6 and later raise the revisions; with older ones the offset of the tree is raised.
func TestNoIndexIsUsedAgainAfterARestore(t *testing.T) {
	eachRelease(t, func(t *testing.T, release proxytest.Release) {
		const prefix = "trees/1"
		s, before, cluster := startStore(t, release, prefix)
		for _, request := range []string{"PUT /a/b?value=1", "PUT /empty?dir=true", "PUT /a/_hidden?value=2", "PUT /lock?value=3&ttl=3600", "DELETE /a/b", "PUT /a/b?value=4",
			"PUT /gone?value=5", "DELETE /gone"} {
			before.do(request)
		}
		if _, err := client(t, s).Put(t.Context(), &pb.PutRequest{Key: []byte("/registry/x"), Value: []byte("foreign")}); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "snapshot.db")
		source, err := s.Save(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		saved, _, err := Read(file, prefix, func(int64) {})
		if err != nil {
			t.Fatal(err)
		}
		if saved.Files != 3 || saved.Dirs != 2 || saved.Expiring != 1 || saved.Broken != 0 || saved.Index != source.Index || source.Name != cluster.Members[0].Name() {
			t.Errorf("got the snapshot %+v of %+v, want 3 files and 2 directories, of which one expires, at the index of the source", saved, source)
		}
		var seen uint64
		for i := range 20 {
			_, seen, _ = before.do(fmt.Sprintf("PUT /a/b?value=lost%d", i))
		}
		before.Close()
		cluster.Close()

		r := &Restore{Snapshot: file, Prefix: prefix, Into: filepath.Join(t.TempDir(), "restored"), Name: "conf1001", PeerURL: "http://127.0.0.1:2380",
			Token: "again", Raise: 1_000_000, Tool: release.Restorer(), Etcd: release.Program}
		restored, err := r.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if restored.Cluster == source.Cluster || restored.Tree.Digest != saved.Digest || restored.Bumped != !release.HasV2() {
			t.Errorf("restored %+v from %+v, want the same nodes in another cluster, and raised revisions if etcd's tool can do that", restored, source)
		}
		if restored.Tree.meta.Generation == saved.meta.Generation {
			t.Errorf("the restored tree has the generation %s of the snapshot, want another one", saved.meta.Generation)
		}
		etcd, err := etcdtool.Start(t.Context(), release.Program, r.Into, "--name=conf1001")
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := etcd.Close(); err != nil {
				t.Error(err)
			}
		}()
		after := openTree(t, "unix:"+etcd.Socket(), prefix)
		defer after.Close()
		status, index, body := after.do("GET /a/b?quorum=true")
		if status != 200 || !strings.Contains(body, `"value":"4"`) || index <= seen {
			t.Errorf("a read after the restore: got %d %s at the index %d, want the value 4 above %d", status, body, index, seen)
		}
		op, _ := v2store.Parse(&v2store.Request{Method: "GET", Path: "/a/b", Query: fmt.Sprintf("wait=true&waitIndex=%d", seen+1)}, time.Now())
		if _, head, err := after.Watch(op, func(*v2v3.Event) {}, func(error) {}); err != nil || head.Status != 400 || !strings.Contains(string(head.Body), `"errorCode":401`) {
			t.Errorf("a watch from what was seen before: got %+v, %v, want that these events are cleared", head, err)
		}
		if _, index, _ := after.do("PUT /a/b?value=new"); index <= seen {
			t.Errorf("a write after the restore has the index %d, want one above %d", index, seen)
		}
	})
}

// TestASnapshotIsVerifiedByRestoringIt starts an etcd on a copy, which leaves nothing behind.
func TestASnapshotIsVerifiedByRestoringIt(t *testing.T) {
	eachRelease(t, func(t *testing.T, release proxytest.Release) {
		s, before, _ := startStore(t, release, "")
		before.do("PUT /a/b?value=1")
		file := filepath.Join(t.TempDir(), "snapshot.db")
		if _, err := s.Save(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		scratch := filepath.Join(t.TempDir(), "scratch")
		got, err := Verify(t.Context(), Restore{Snapshot: file, Tool: release.Restorer(), Etcd: release.Program}, scratch)
		if err != nil || got.Files != 1 || got.Dirs != 1 {
			t.Errorf("verifying a snapshot: got %+v, %v; want a file in a directory", got, err)
		}
		if left, _ := filepath.Glob(scratch); len(left) > 0 {
			t.Errorf("%s was left behind", scratch)
		}
	})
}
