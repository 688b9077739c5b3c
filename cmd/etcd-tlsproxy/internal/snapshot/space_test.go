package snapshot

import (
	"path/filepath"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// quota is that of the store that is filled: the least for which etcd 3.4 does not count its log.
const quota = 8 << 20

// startSmall starts an etcd with a quota, on data that there may be.
func startSmall(t *testing.T, release proxytest.Release, dir string) (*Store, *proxytest.Process) {
	t.Helper()
	etcd, err := proxytest.StartProcess(release.Program, proxytest.Options{Dir: dir, Quota: quota, NoV2: true})
	if etcd != nil {
		t.Cleanup(etcd.Close)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &Store{Endpoints: []rpc.Endpoint{{Addr: strings.TrimPrefix(etcd.URL(), "http://")}}, Timeout: patience}, etcd
}

// TestAFullStoreIsRestoredAndAcceptsWrites has another program that fills the store of each etcd with versions of
// one key, and restores a snapshot of it.
func TestAFullStoreIsRestoredAndAcceptsWrites(t *testing.T) {
	eachRelease(t, func(t *testing.T, release proxytest.Release) {
		s, etcd := startSmall(t, release, t.TempDir())
		if err := v2v3.Init(t.Context(), v2v3.Options{Endpoints: s.Endpoints}, 1000); err != nil {
			t.Fatal(err)
		}
		before := openTree(t, s.Endpoints[0].Addr, "")
		before.do("PUT /kept?value=1")
		before.do("PUT /large?value=1")
		for n, full := 0, client(t, s); ; n++ {
			_, err := full.Put(t.Context(), &pb.PutRequest{Key: []byte("other"), Value: make([]byte, 1<<20)})
			if rpc.NoSpace(err) {
				break
			} else if err != nil || n > 8*quota>>20 {
				t.Fatalf("writing 1 MiB for the %d. time: got %v, want that etcd is full", n+1, err)
			}
		}
		file := filepath.Join(t.TempDir(), "snapshot.db")
		if _, err := s.Save(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		before.Close()
		etcd.Close()

		dir := t.TempDir()
		r := &Restore{Snapshot: file, Into: filepath.Join(dir, "data"), Name: "default", PeerURL: etcd.PeerURL(), Token: "again", Raise: 1_000_000,
			Tool: release.Restorer(), Etcd: release.Program}
		restored, err := r.Run(t.Context())
		if err != nil || restored.Tree.Files != 2 {
			t.Fatalf("restoring a full store: got %+v, %v; want its 2 keys", restored, err)
		}
		s, _ = startSmall(t, release, dir)
		alarms, err := client(t, s).Maintenance().Alarm(t.Context(), &pb.AlarmRequest{})
		if err != nil || len(alarms.Alarms) > 0 {
			t.Errorf("got the alarms %v, %v; want none", alarms, err)
		}
		after := openTree(t, s.Endpoints[0].Addr, "")
		for range 3 {
			if status, _, body := after.do("PUT /large?value=" + strings.Repeat("y", 1<<20)); status != 200 {
				t.Errorf("writing to the restored store: got %d %.200s, want that there is space", status, body)
			}
		}
	})
}
