package v2state_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/v2state"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// TestWhatIsLeftIsWhatEtcd36Refuses has a member with one more thing removed in each step, and starts etcd 3.6 with a
// copy of its data.
func TestWhatIsLeftIsWhatEtcd36Refuses(t *testing.T) {
	folder := t.TempDir()
	source := v2state.Source{DataDir: filepath.Join(folder, "data")}
	for _, step := range []struct {
		what string
		// do works on the member, which writes a snapshot after so many entries.
		do        func(m *member)
		snapshots uint64
		want      v2state.Leftovers
	}{
		{"keys in the log", func(m *member) {
			m.do("PUT", "/a/b", "value=1")
			m.auth("PUT", "users/root", `{"user":"root","password":"x"}`)
			m.auth("PUT", "enable", "")
		}, 0, v2state.Leftovers{Requests: 11}},
		{"keys and users in the snapshot", func(m *member) { m.fill() }, 1, v2state.Leftovers{Keys: 2, Users: 2}},
		{"users in the snapshot", func(m *member) {
			m.auth("DELETE", "enable", "")
			m.do("DELETE", "/a", "recursive=true")
			m.fill()
		}, 1, v2state.Leftovers{Users: 2}},
		{"requests that remove them in the log", func(m *member) {
			m.auth("DELETE", "users/root", "")
			m.auth("DELETE", "roles/guest", "")
		}, 0, v2state.Leftovers{Users: 2, Requests: 2}},
		{"nothing", func(m *member) { m.fill() }, 1, v2state.Leftovers{}},
		{"a read with a quorum in the log", func(m *member) { m.do("GET", "/", "quorum=true") }, 0, v2state.Leftovers{Requests: 1}},
	} {
		e, err := proxytest.StartEmbedded(proxytest.Options{Dir: source.DataDir, SnapshotCount: step.snapshots})
		if err != nil {
			t.Fatal(err)
		}
		step.do(&member{t, e.URL(), source})
		e.Close()
		got, err := source.Leftovers()
		if err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		// Where a snapshot was written depends on what etcd does besides.
		if got.Keys != step.want.Keys || got.Users != step.want.Users || (got.Requests > 0) != (step.want.Requests > 0) || got.None() != step.want.None() {
			t.Errorf("%s: got %+v, want %+v", step.what, got, step.want)
		}
		starts36(t, step.what, source.DataDir, got.None())
	}
}

// starts36 makes sure that etcd 3.6 starts with a copy of a data folder, or does not.
func starts36(t *testing.T, what, folder string, want bool) {
	t.Helper()
	releases := proxytest.Releases()
	i := slices.IndexFunc(releases, func(r proxytest.Release) bool { return r.Name == "3.6" })
	if i < 0 {
		t.Log("etcd 3.6 is not at hand, run make stores")
		return
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	p, err := proxytest.StartProcess(releases[i].Program, proxytest.Options{Dir: dir, NoV2: true})
	if p != nil {
		defer p.Close()
	}
	if (err == nil) != want {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Errorf("%s: etcd 3.6 was started with the error %v, want success %t\n%.2000s", what, err, want, log[max(0, len(log)-2000):])
	}
}

// auth sends a request about etcd's own users, as root.
func (m *member) auth(method, path, body string) {
	m.t.Helper()
	r, err := http.NewRequest(method, m.url+"/v2/auth/"+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth("root", "x")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode > 201 {
		m.t.Fatalf("%s %s: got the status %d", method, path, resp.StatusCode)
	}
}

// fill writes to the v3 store until the member has written a snapshot of all that was before.
func (m *member) fill() {
	m.t.Helper()
	client, err := rpc.New([]rpc.Endpoint{{Addr: strings.TrimPrefix(m.url, "http://")}}, "", "")
	if err != nil {
		m.t.Fatal(err)
	}
	defer client.Close()
	newest := func() string {
		all, _ := filepath.Glob(filepath.Join(m.source.DataDir, "member", "snap", "*.snap"))
		if len(all) == 0 {
			return ""
		}
		return all[len(all)-1]
	}
	for before, n := newest(), 0; newest() == before || n < 2; n++ {
		if _, err := client.Put(context.Background(), &pb.PutRequest{Key: []byte("filler")}); err != nil {
			m.t.Fatal(err)
		}
	}
}
