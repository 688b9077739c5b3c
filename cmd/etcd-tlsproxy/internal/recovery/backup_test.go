package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/etcdtool"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/isolation"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/proxytest"
)

// etcdPath returns the installed etcd. It skips the test without one, without its tool,
// or without the right to create namespaces.
func etcdPath(t *testing.T) string {
	t.Helper()
	path, _, ok := proxytest.FindEtcd()
	if _, err := etcdtool.FindTool(""); !ok || err != nil {
		t.Skip("etcd and etcdctl are not installed")
	}
	for _, isolated := range isolation.Attrs() {
		cmd := exec.Command("true")
		cmd.SysProcAttr = isolated
		if cmd.Run() == nil {
			return path
		}
	}
	t.Skip("this process may not create namespaces")
	return path
}

// startCluster starts a cluster, and also returns the data folders of its members.
func startCluster(t *testing.T, members int) (c *proxytest.Cluster, folders []string) {
	t.Helper()
	dir := t.TempDir()
	c, err := proxytest.NewCluster(proxytest.ClusterOptions{Etcd: etcdPath(t), Dir: dir, Advertise: make([]string, members)})
	t.Cleanup(c.Close)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.Members {
		folders = append(folders, filepath.Join(dir, m.Name(), "data"))
	}
	return c, folders
}

// newBackup returns a backup of a member into a new folder. Its clock advances by one
// second with each reading, because backups are named by the second.
func newBackup(t *testing.T, url, dataDir string) *Backup {
	var mu sync.Mutex
	now := time.Now()
	return &Backup{
		Connection: cluster.Connection{Endpoints: []string{url}, Timeout: 10 * time.Second},
		DataDir:    dataDir, Folder: filepath.Join(t.TempDir(), "backups"), Keep: 7,
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(time.Second)
			return now
		},
	}
}

func run(t *testing.T, b *Backup) *Result {
	t.Helper()
	r, err := b.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// write sends a form to an etcd.
func write(t *testing.T, method, url string, form url.Values) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: got status %d and %s, want 2xx", method, url, resp.StatusCode, body)
	}
}

func put(t *testing.T, member, key, value string) {
	t.Helper()
	write(t, http.MethodPut, member+"/v2/keys"+key, url.Values{"value": {value}})
}

// read reads a node.
func read(t *testing.T, member, key string) (status int, n nodeJSON) {
	t.Helper()
	resp, err := http.Get(member + "/v2/keys" + (&url.URL{Path: key}).EscapedPath() + "?quorum=true&sorted=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Node nodeJSON }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer.Node
}

type nodeJSON struct {
	Key, Value    string
	Dir           bool
	TTL           int64
	ModifiedIndex uint64
	Nodes         []nodeJSON
}

func inOrder(t *testing.T, member string) string {
	t.Helper()
	_, queue := read(t, member, "/queue")
	var all []string
	for _, n := range queue.Nodes {
		all = append(all, n.Key+"="+n.Value)
	}
	return strings.Join(all, " ")
}

// restored returns the keys of an etcd that was started on a backup.
func restored(t *testing.T, backup string) *tree {
	t.Helper()
	copied, err := verifyCopy(t.Context(), etcdPath(t), backup, filepath.Join(t.TempDir(), "sandbox"))
	if err != nil {
		t.Fatal(err)
	}
	return copied
}

func names(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		if entry.Name() != ".lock" {
			all = append(all, entry.Name())
		}
	}
	return strings.Join(all, " ")
}

func TestTheNewestWriteIsInABackup(t *testing.T) {
	t.Parallel()
	c, folders := startCluster(t, 2)
	for i, member := range c.Members {
		for round, old := range []bool{true, false} {
			key := fmt.Sprintf("/newest-%d-%d", i, round)
			b := newBackup(t, member.URL(), folders[i])
			put(t, c.Members[0].URL(), key, "1")
			if old { // the tool's own backup lacks the newest write, hence the quorum read
				tool, err := etcdtool.FindTool("")
				if err != nil {
					t.Fatal(err)
				}
				alone := filepath.Join(t.TempDir(), "alone")
				if err := etcdtool.Backup(t.Context(), tool, folders[i], "", alone, false); err != nil {
					t.Fatal(err)
				}
				if _, ok := restored(t, alone).nodes[key]; ok {
					t.Errorf("member %d: the tool's own backup has the newest write: then a quorum read before it is no longer needed", i)
				}
				continue
			}
			r := run(t, b)
			if _, ok := restored(t, r.Path).nodes[key]; !ok {
				t.Errorf("member %d: the backup lacks the write before it", i)
			}
			if m := r.Manifest; m.Index == 0 || m.Keys.Digest == "" || m.Source.Name != member.Name() {
				t.Errorf("manifest: got %+v, want an index, a digest and the name %s", m, member.Name())
			}
		}
	}
}

// TestWritesThatDependOnIndexesSurvive covers a trap of etcdctl's backup: it drops records
// about members, so all later indexes are lower when the log is replayed.
func TestWritesThatDependOnIndexesSurvive(t *testing.T) {
	t.Parallel()
	c, folders := startCluster(t, 1)
	keys := c.Members[0].URL() + "/v2/keys"
	put(t, c.Members[0].URL(), "/pooled", "yes")
	_, n := read(t, c.Members[0].URL(), "/pooled")
	write(t, http.MethodPut, keys+"/pooled", url.Values{"value": {"no"}, "prevIndex": {fmt.Sprint(n.ModifiedIndex)}, "prevExist": {"true"}})
	write(t, http.MethodPost, keys+"/queue", url.Values{"value": {"job"}})
	order := inOrder(t, c.Members[0].URL())
	tool, err := etcdtool.FindTool("")
	if err != nil {
		t.Fatal(err)
	}
	alone := filepath.Join(t.TempDir(), "alone")
	if err := etcdtool.Backup(t.Context(), tool, folders[0], "", alone, false); err != nil {
		t.Fatal(err)
	}
	if got := restored(t, alone).nodes["/pooled"].value; got != "yes" {
		t.Errorf("the tool's own backup has %q, want \"yes\": otherwise a copy no longer has to be compacted", got)
	}
	b := newBackup(t, c.Members[0].URL(), folders[0])
	has := restored(t, run(t, b).Path)
	if got := has.nodes["/pooled"].value; got != "no" {
		t.Errorf("after a conditional write: got %q, want \"no\"", got)
	}
	if key, value, _ := strings.Cut(order, "="); has.nodes[key].value != value {
		t.Errorf("the in-order key %s is not in %v", order, has.nodes)
	}
}

func TestABackupIsVerifiedWhileWritesGoOn(t *testing.T) {
	c, folders := startCluster(t, 1)
	url := c.Members[0].URL()
	for i := range 200 {
		put(t, url, fmt.Sprintf("/still/%d", i), "1")
	}
	// An etcd that read these would write to the member's own log.
	t.Setenv("ETCD_WAL_DIR", filepath.Join(folders[0], "member", "wal"))
	t.Setenv("ETCD_DISCOVERY_SRV", "example.org")
	b := newBackup(t, c.Members[0].URL(), folders[0])
	b.Verify = true
	ctx, stop := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			put(t, url, fmt.Sprintf("/moving/%d", i%50), fmt.Sprint(i))
		}
	})
	r, err := b.Run(t.Context())
	stop()
	writer.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if k := r.Manifest.Keys; !k.Verified || k.Compared < 200 || k.Digest == "" {
		t.Errorf("keys: got %+v, want at least 200 compared, verified, and a digest", k)
	}
	if got := restored(t, r.Path).keys(); got.Digest != r.Manifest.Keys.Digest || got.Count != r.Manifest.Keys.Count {
		t.Errorf("keys of the backup: got %+v, want those of the manifest, %+v", got, r.Manifest.Keys)
	}
	if got := names(t, b.Folder); got != filepath.Base(r.Path) {
		t.Errorf("folder of the backups: got %s, want %s alone", got, filepath.Base(r.Path))
	}
	if _, err := Check(r.Path, func(int64) {}); err != nil {
		t.Errorf("checking the finished backup: %v", err)
	}
	sums := exec.Command("sha256sum", "--check", "--quiet", sumsFile)
	sums.Dir = r.Path
	if out, err := sums.CombinedOutput(); err != nil {
		t.Errorf("sha256sum --check: %v: %s", err, out)
	}
}

// TestAMemberOfEtcdsOwnPeerURLCanBeBackedUp covers a member that was started without
// flags, or has its peer URL from --force-new-cluster.
func TestAMemberOfEtcdsOwnPeerURLCanBeBackedUp(t *testing.T) {
	t.Parallel()
	c, folders := startCluster(t, 1)
	url := c.Members[0].URL()
	etcd, err := client.New(client.Config{Endpoints: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	members := client.NewMembersAPI(etcd)
	all, err := members.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := members.Update(t.Context(), all[0].ID, []string{defaultPeerURL}); err != nil {
		t.Fatal(err)
	}
	put(t, url, "/a", "1")
	b := newBackup(t, url, folders[0])
	b.Verify = true
	if got := restored(t, run(t, b).Path).keys(); got.Count != 1 {
		t.Errorf("keys of the backup: got %+v, want one", got)
	}
}

func TestAFullDiskLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root may mount")
	}
	c, folders := startCluster(t, 1)
	put(t, c.Members[0].URL(), "/a", "1")
	// The first disk is too small for a copy, the second for the one to verify.
	for _, size := range []string{"8m", "100m"} {
		disk := t.TempDir()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size="+size+",mode=0700"); err != nil {
			t.Skipf("mounting: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
		good := oldBackup(t, disk, "etcd-20260101T000000Z")
		b := newBackup(t, c.Members[0].URL(), folders[0])
		b.Folder, b.Keep, b.Verify = disk, 1, true
		b.MetricsFile = filepath.Join(t.TempDir(), "backup.prom")
		if r, err := b.Run(t.Context()); err == nil {
			t.Fatalf("disk of %s: got %+v, want an error", size, r)
		} else if !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("disk of %s: got %v, want no space left on device", size, err)
		}
		if got := names(t, disk); got != good {
			t.Errorf("disk of %s: got %s, want %s alone", size, got, good)
		}
		if text, err := os.ReadFile(b.MetricsFile); err != nil || !strings.Contains(string(text), attemptFailed+" 1\n") {
			t.Errorf("metrics after a failure: got %s (%v), want %s 1", text, err, attemptFailed)
		}
	}
}

// oldBackup creates an older backup and returns its name.
func oldBackup(t *testing.T, folder, name string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Join(path, "member"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "member", "x"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := sumFiles(path, func(int64) {})
	if err == nil {
		err = (&Manifest{MadeBy: madeBy, Files: files}).write(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestOnlyOwnBackupsAreRotatedAndOnlyAfterASuccess(t *testing.T) {
	t.Parallel()
	c, folders := startCluster(t, 1)
	b := newBackup(t, c.Members[0].URL(), folders[0])
	b.Keep = 3
	for _, name := range []string{"etcd-20260101T000000Z", "etcd-20260102T000000Z", "etcd-20260103T000000Z", "etcd-20260104T000000Z"} {
		oldBackup(t, b.Folder, name)
	}
	lost := filepath.Join(b.Folder, "etcd-20260103T000000Z", "member", "x")
	if err := os.Remove(lost); err != nil { // an incomplete backup does not count as kept
		t.Fatal(err)
	}
	for _, foreign := range []string{"etcd-20250101T000000Z", ".partial-etcd-20250101T000000Z", "notes", "member"} {
		if err := os.MkdirAll(filepath.Join(b.Folder, foreign, "member"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	killed := filepath.Join(b.Folder, ".partial-etcd-20260105T000000Z")
	if err := os.MkdirAll(killed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(killed, markerFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tool := b.Tool
	b.Tool = "/bin/false"
	if r, err := b.Run(t.Context()); err == nil {
		t.Fatalf("with a tool that fails: got %+v, want an error", r)
	}
	foreign := ".partial-etcd-20250101T000000Z etcd-20250101T000000Z "
	if got := names(t, b.Folder); got != foreign+"etcd-20260101T000000Z etcd-20260102T000000Z etcd-20260103T000000Z etcd-20260104T000000Z member notes" {
		t.Errorf("after a failure: %s", got)
	}
	b.Tool = tool
	r := run(t, b)
	if got := names(t, b.Folder); got != foreign+"etcd-20260102T000000Z etcd-20260103T000000Z etcd-20260104T000000Z "+filepath.Base(r.Path)+" member notes" {
		t.Errorf("after a success: %s", got)
	}
	if fmt.Sprint(r.Removed) != "[etcd-20260101T000000Z]" {
		t.Errorf("removed: got %s, want the oldest alone", r.Removed)
	}
	// A clock that was set back sorts the new one last.
	b.Now, b.Keep = func() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }, 1
	run(t, b)
	if got := names(t, b.Folder); got != ".partial-etcd-20250101T000000Z etcd-20200101T000000Z etcd-20250101T000000Z member notes" {
		t.Errorf("with an old clock: %s", got)
	}
}

func TestWhatCannotBeBackedUpIsSaidBeforeAnythingIsWritten(t *testing.T) {
	c, folders := startCluster(t, 1)
	other, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for want, change := range map[string]func(*testing.T, *Backup){
		"is not a data folder of etcd":        func(t *testing.T, b *Backup) { b.DataDir = t.TempDir() },
		"is inside of etcd's data folder":     func(t *testing.T, b *Backup) { b.Folder = filepath.Join(b.DataDir, "backups") },
		"but the data folder belongs to":      func(t *testing.T, b *Backup) { b.Connection.Endpoints = []string{other.URL()} },
		"--endpoints names 2 members, but mu": func(t *testing.T, b *Backup) { b.Connection.Endpoints = []string{other.URL(), other.URL()} },
		"--offline copies the folder":         func(t *testing.T, b *Backup) { b.Connection.Endpoints = []string{"http://127.0.0.1:1"} },
		"--with-v3 requires the member to be": func(t *testing.T, b *Backup) { b.WithV3 = true },
		"--keep -1 is not a valid number":     func(t *testing.T, b *Backup) { b.Keep = -1 },
		"no-such-tool":                        func(t *testing.T, b *Backup) { b.Tool = "no-such-tool" },
		"package etcd-client":                 func(t *testing.T, _ *Backup) { t.Setenv("PATH", t.TempDir()) },
		"another backup into":                 func(t *testing.T, b *Backup) { hold(t, b.Folder) },
	} {
		t.Run(want, func(t *testing.T) {
			b := newBackup(t, c.Members[0].URL(), folders[0])
			change(t, b)
			if r, err := b.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %+v and the error %v, want %q", r, err, want)
			}
			if _, err := os.Stat(b.Folder); err == nil && names(t, b.Folder) != "" {
				t.Errorf("folder of the backups: got %s, want nothing", names(t, b.Folder))
			}
		})
	}
}

// hold acts as another running backup into the folder.
func hold(t *testing.T, folder string) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
}

func TestABackupOfAStoppedMemberHasV3KeysOnlyIfThereAreAny(t *testing.T) {
	t.Parallel()
	c, folders := startCluster(t, 1)
	put(t, c.Members[0].URL(), "/a", "1")
	c.Members[0].Close()
	b := newBackup(t, c.Members[0].URL(), folders[0])
	b.Offline, b.WithV3, b.Verify = true, true, true
	r := run(t, b)
	if k := r.Manifest.Keys; r.Manifest.WithV3 || r.Manifest.V3LeftOut != "" || k.Count != 1 || !k.Verified || k.Digest == "" {
		t.Errorf("got manifest %+v and keys %+v, want one verified key, and neither keys of the v3 store nor any that are left out", r.Manifest, k)
	}
}

func TestMetricsTellTheLastSuccessAndWhetherTheLastAttemptFailed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "backup.prom")
	at := time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	r := &Result{Bytes: 5, Seconds: 1.5, Manifest: &Manifest{Time: at, Keys: &Keys{Count: 7, Verified: true}}}
	if err := writeSuccess(file, r); err != nil {
		t.Fatal(err)
	}
	want := []string{"last_attempt_failed 0", "last_success_timestamp_seconds 1.7954856e+09", "size_bytes 5", "keys 7", "verified 1", "duration_seconds 1.5"}
	check := func() {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !strings.Contains(string(text), "\n"+metricPrefix+line+"\n") {
				t.Errorf("metrics: got\n%s\nwant the line %s", text, line)
			}
		}
	}
	check()
	if err := writeFailure(file); err != nil {
		t.Fatal(err)
	}
	want[0] = "last_attempt_failed 1"
	check()
	if err := os.WriteFile(file, []byte("nonsense{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeFailure(file); err == nil {
		t.Error("recording a failure in a malformed file: got no error")
	}
	want = want[:1]
	check()
}

func TestADamagedBackupIsNotWhole(t *testing.T) {
	t.Parallel()
	c, folders := startCluster(t, 1)
	whole := run(t, newBackup(t, c.Members[0].URL(), folders[0])).Path
	segments, err := filepath.Glob(filepath.Join(whole, "member", "wal", "*.wal"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	log, err := filepath.Rel(whole, segments[0])
	if err != nil {
		t.Fatal(err)
	}
	for want, damage := range map[string]func(folder string) error{
		log + " has changed":                func(folder string) error { return flip(filepath.Join(folder, log), 5000) },
		log + " is missing":                 func(folder string) error { return os.Remove(filepath.Join(folder, log)) },
		log + " has 1000 bytes":             func(folder string) error { return os.Truncate(filepath.Join(folder, log), 1000) },
		"manifest.json does not match its":  func(folder string) error { return flip(filepath.Join(folder, manifestFile), 40) },
		"the checksums are missing":         func(folder string) error { return os.Remove(filepath.Join(folder, sumsFile)) },
		"SHA256SUMS and manifest.json disa": func(folder string) error { return flip(filepath.Join(folder, sumsFile), 100) },
		"member/extra is not part of the b": func(folder string) error { return os.WriteFile(filepath.Join(folder, "member", "extra"), nil, 0o600) },
	} {
		folder := filepath.Join(t.TempDir(), "backup")
		if err := os.CopyFS(folder, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		if err := damage(folder); err != nil {
			t.Fatal(err)
		}
		if _, err := Check(folder, func(int64) {}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("checking a damaged backup: got %v, want %q", err, want)
		}
	}
}

// flip inverts one bit of a file.
func flip(path string, at int64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var b [1]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		return errors.Join(err, file.Close())
	}
	b[0] ^= 1
	_, err = file.WriteAt(b[:], at)
	return errors.Join(err, file.Close())
}

func TestACopyIsComparedWithWhatStoodStill(t *testing.T) {
	now := time.Now()
	soon, later := now.Add(-time.Second), now.Add(time.Hour)
	treeOf := func(nodes map[string]node, index uint64) *tree { return &tree{index: index, nodes: nodes} }
	before := treeOf(map[string]node{"/a": {value: "1", modified: 5}, "/moving": {value: "1", modified: 6}, "/gone": {value: "1", modified: 7, expiration: &soon}, "/ttl": {value: "1", modified: 8, expiration: &later}}, 8)
	after := treeOf(map[string]node{"/a": {value: "1", modified: 5}, "/moving": {value: "3", modified: 10}, "/gone": {value: "1", modified: 7, expiration: &soon}, "/ttl": {value: "1", modified: 8, expiration: &later}, "/new": {modified: 9}}, 11)
	for _, test := range []struct {
		copied map[string]node
		want   string
	}{
		{map[string]node{"/a": {value: "1", modified: 5}, "/moving": {value: "2", modified: 9}, "/ttl": {value: "1", modified: 8, expiration: &later}, "/brief": {modified: 9}}, "[]"},
		{map[string]node{"/a": {value: "1", modified: 5}, "/stale": {modified: 8}, "/ttl": {value: "1", modified: 8, expiration: &later}}, "[/stale should not be there]"},
		{map[string]node{"/a": {value: "2", modified: 5}, "/ttl": {value: "1", modified: 8}}, "[/a has another value /ttl expires at another time]"},
		{map[string]node{"/a": {dir: true, modified: 5}}, "[/a has another value /ttl is missing]"},
		{map[string]node{"/a": {value: "1", modified: 4}, "/ttl": {value: "1", modified: 8, expiration: &later}}, "[/a has another index]"},
	} {
		if _, got := compare(before, after, treeOf(test.copied, 8), now); fmt.Sprint(got) != test.want {
			t.Errorf("comparing %v: got %v, want %s", test.copied, got, test.want)
		}
	}
}

func TestAManifestIsReadableAsItIsWritten(t *testing.T) {
	m := Manifest{MadeBy: madeBy, Source: Source{Identity: memberhost.Identity{Member: 0xabc, Cluster: 0xdef}, Name: "conf1001"}}
	text, err := json.Marshal(m)
	if err != nil || !strings.Contains(string(text), `"source":{"id":"abc","cluster_id":"def","name":"conf1001"}`) {
		t.Fatalf("got %s (%v), want the ids in hexadecimal", text, err)
	}
	var again Manifest
	if err := json.Unmarshal(text, &again); err != nil || again.Source != m.Source {
		t.Errorf("read again: got %+v (%v), want %+v", again.Source, err, m.Source)
	}
}

func TestABackupIsVerifiedAgainstTheKeysOfItsManifest(t *testing.T) {
	c, folders := startCluster(t, 1)
	b := newBackup(t, c.Members[0].URL(), folders[0])
	made := run(t, b)
	if v, err := Verify(t.Context(), Tools{}, made.Path, func(int64) {}); err != nil || !v.Compared || v.Found.Count != made.Manifest.Keys.Count {
		t.Errorf("a whole backup: got %+v and the error %v, want its keys compared", v, err)
	}
	m, err := Check(made.Path, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	keys := *m.Keys
	m.Keys, m.WithV3 = nil, true
	if err := m.write(made.Path); err != nil {
		t.Fatal(err)
	}
	if v, err := Verify(t.Context(), Tools{}, made.Path, func(int64) {}); err != nil || v.Compared || v.Found.Count != keys.Count || len(v.Unknown) != 2 ||
		!strings.Contains(v.Unknown[0], "whether these are all keys") || !strings.Contains(v.Unknown[1], "v3") {
		t.Errorf("a backup whose keys were not counted: got %+v and the error %v, want its keys, not compared, and what is unknown", v, err)
	}
	keys.Digest = "sha256:0"
	m.Keys, m.WithV3 = &keys, false
	if err := m.write(made.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), Tools{}, made.Path, func(int64) {}); err == nil || !strings.Contains(err.Error(), "the manifest has 0 with sha256:0") {
		t.Errorf("a backup with another digest of its keys: got %v, want an error with both digests", err)
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "etcd-tlsproxy-verify-*")); err != nil || len(left) > 0 {
		t.Errorf("after verifying: the folders %v (%v) are left, want none", left, err)
	}
}

func TestAListShowsWhichBackupsCanBeUsed(t *testing.T) {
	c, folders := startCluster(t, 1)
	b := newBackup(t, c.Members[0].URL(), folders[0])
	whole, short, damaged := run(t, b), run(t, b), run(t, b)
	if err := os.Remove(filepath.Join(short.Path, short.Manifest.Files[0].Path)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(damaged.Path, manifestFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(b.Folder, "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	found, err := List(b.Folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 3 || found[0].Path != damaged.Path || !strings.Contains(found[0].Problem, "checksum") ||
		found[1].Path != short.Path || !strings.Contains(found[1].Problem, "missing") || found[2].Path != whole.Path || found[2].Problem != "" || found[2].Keys == nil {
		t.Errorf("got %+v, want the three backups, the newest first, and the problems of two", found)
	}
}
