package recovery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/proxy/proxytest"
)

// written holds the keys of a cluster before it lost its quorum.
type written struct {
	values  map[string]string
	expires map[string]time.Duration
	order   string
}

// fill writes keys of all kinds.
func fill(t *testing.T, member string) *written {
	w := &written{values: map[string]string{
		"/conftool/v1/pools/a": `{"weight": 10, "pooled": "yes"}`, "/conftool/v1/pools/b": "it's \"quoted\" $HOME `x` \\ \n two lines",
		"/empty": "", "/unicode/schlüssel": "größe ✓", "/with space/and%percent": "1", "/_hidden/key": "hidden", "/conftool/_hidden": "hidden, too",
	}, expires: map[string]time.Duration{"/session": 1000 * time.Second, "/leases": 2000 * time.Second, "/leases/below": 0}}
	for key, value := range w.values {
		put(t, member, (&url.URL{Path: key}).EscapedPath(), value)
	}
	keys := member + "/v2/keys"
	write(t, http.MethodPut, keys+"/session", url.Values{"value": {"s"}, "ttl": {"1000"}})
	write(t, http.MethodPut, keys+"/leases", url.Values{"dir": {"true"}, "ttl": {"2000"}})
	put(t, member, "/leases/below", "l")
	write(t, http.MethodPut, keys+"/emptydir", url.Values{"dir": {"true"}})
	for i := range 5 {
		write(t, http.MethodPost, keys+"/queue", url.Values{"value": {fmt.Sprint("job ", i)}})
	}
	w.values["/session"], w.values["/leases/below"] = "s", "l"
	w.order = inOrder(t, member)
	return w
}

// check compares the keys of a member.
func (w *written) check(t *testing.T, member string) {
	t.Helper()
	for key, value := range w.values {
		if status, n := read(t, member, key); status != http.StatusOK || n.Value != value {
			t.Errorf("%s at %s: got status %d and %q, want 200 and %q", key, member, status, n.Value, value)
		}
	}
	for key, ttl := range w.expires {
		_, n := read(t, member, key)
		if left := time.Duration(n.TTL) * time.Second; left > ttl || left < ttl-5*time.Minute {
			t.Errorf("%s at %s: got a time to live of %s, want at most %s and 5 minutes less at the least", key, member, left, ttl)
		}
	}
	if got := inOrder(t, member); got != w.order || !strings.HasSuffix(got, "=job 4") {
		t.Errorf("in-order keys at %s: got %s, want %s", member, got, w.order)
	}
	if _, n := read(t, member, "/emptydir"); !n.Dir {
		t.Errorf("/emptydir at %s: got %+v, want a directory", member, n)
	}
}

// spec converts members, with all their URLs.
func spec(t *testing.T, members []proxytest.Member) []Member {
	t.Helper()
	var list []string
	for _, m := range members {
		list = append(list, m.Name()+"="+m.PeerURL()+"+"+m.URL())
	}
	all, err := new(Defaults).Members(list)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// newRecovery returns a recovery of members on this machine, without a service manager.
func newRecovery(t *testing.T, dir, backup string, members []Member) *Recovery {
	return &Recovery{Program: program(t), Backup: backup, Members: members, DataDir: filepath.Join(dir, "{name}", "data"), Foreground: true, ListenPeer: "127.0.0.1",
		Etcd: etcdPath(t), Wait: time.Minute, Connection: cluster.Connection{Timeout: 2 * time.Second}, Confirm: confirm, Now: time.Now}
}

// errNotConfirmed is the error of an operator who does not agree.
var errNotConfirmed = errors.New("not confirmed")

func confirm(...string) error { return nil }

func refuse(...string) error { return errNotConfirmed }

// pids returns the process ids of the etcds that the commands started.
func pids(t *testing.T, dir string) map[string]int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "data.pid"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(filepath.Dir(file))] = pid
	}
	return all
}

// killAll kills the etcds that the commands started, and waits until they have exited.
func killAll(t *testing.T, dir string) {
	for _, pid := range pids(t, dir) {
		kill(t, pid)
	}
}

// kill kills a process if it is an etcd, and waits until it has exited. This process may
// not be its parent, so it cannot wait for a status.
func kill(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has exited
	}
	defer unix.Close(fd)
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || string(comm) != "etcd\n" {
		return
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	exited := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for limit := time.Now().Add(30 * time.Second); exited[0].Revents == 0; {
		if time.Now().After(limit) {
			t.Fatalf("process %d has not exited 30 s after SIGKILL", pid)
		}
		if _, err := unix.Poll(exited, 1000); err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatalf("waiting for process %d to exit: %v", pid, err)
		}
	}
}

func TestAClusterThatLostItsQuorumComesBack(t *testing.T) {
	t.Parallel()
	c, folders := startCluster(t, 3)
	dir := filepath.Dir(filepath.Dir(folders[0]))
	t.Cleanup(func() { killAll(t, dir) })
	want := fill(t, c.Members[1].URL())
	b := newBackup(t, c.Members[0].URL(), folders[0])
	b.Verify = true
	backup := run(t, b).Path
	put(t, c.Members[0].URL(), "/later", "1")
	members := spec(t, c.Members)

	t.Run("a live one is refused", func(t *testing.T) {
		for _, quorum := range []bool{true, false} {
			if !quorum { // two of three are still a quorum
				c.Members[2].Close()
				waitForLeader(t, c)
			}
			if p, err := newRecovery(t, dir, backup, members).Plan(t.Context()); !errors.Is(err, ErrLive) {
				t.Errorf("planning with all members %t: got %+v and the error %v, want %v", quorum, p, err, ErrLive)
			}
		}
	})

	t.Run("the printed commands bring it back", func(t *testing.T) {
		c.Members[1].Close()
		for _, folder := range folders[1:] {
			if err := os.RemoveAll(folder); err != nil {
				t.Fatal(err)
			}
		}
		survivor := c.Members[0].(*proxytest.Process).Pid()
		if err := os.WriteFile(folders[0]+".pid", []byte(fmt.Sprintln(survivor)), 0o600); err != nil {
			t.Fatal(err)
		}
		// Another member, which has no data, is the first one now.
		r := newRecovery(t, dir, backup, []Member{members[1], members[0], members[2]})
		p, err := r.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"conf1001: running, but without a quorum", "conf1002, conf1003: nothing listens at http"} {
			if facts := strings.Join(p.Facts, "\n"); !strings.Contains(facts, want) {
				t.Errorf("facts: got %s, want %q", facts, want)
			}
		}
		began := time.Now()
		sh := exec.CommandContext(t.Context(), "sh")
		sh.Stdin = strings.NewReader(p.Script)
		// An etcd would read these as flags.
		sh.Env = append(os.Environ(), "ETCD_DISCOVERY_SRV=example.org", "ETCD_WAL_DIR=/nowhere")
		if out, err := sh.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out, p.Script)
		}
		t.Logf("%d steps in %s", len(p.Steps), time.Since(began))
		checkRecovered(t, members, want)
		if status, _ := read(t, members[0].Client, "/later"); status != http.StatusNotFound {
			t.Errorf("a key that was written after the backup: got status %d, want 404", status)
		}
		if _, err := os.Stat(filepath.Join(folders[0], r.asideName(), "wal")); err != nil {
			t.Errorf("the old data was not moved aside: %v", err)
		}
		// Unlike a new member, this one has a snapshot that contains all members.
		again := newBackup(t, members[1].Client, folders[1])
		again.Verify = true
		if keys := run(t, again).Manifest.Keys; keys.Compared < 15 {
			t.Errorf("a backup of the recovered cluster: got %+v, want at least 15 keys compared", keys)
		}
	})

	t.Run("with --run from a folder that survived", func(t *testing.T) {
		running := pids(t, dir)
		if len(running) != 3 {
			t.Fatal(running)
		}
		put(t, members[2].Client, "/later", "2")
		for i := range 2 {
			kill(t, running[members[i].Name])
			if err := os.RemoveAll(filepath.Join(dir, members[i].Name, "data")); err != nil {
				t.Fatal(err)
			}
		}
		survived := filepath.Join(dir, members[2].Name, "data")
		r := newRecovery(t, dir, survived, []Member{members[2], members[0], members[1]})
		r.EtcdArgs = []string{"--strict-reconfig-check=false"} // the check would make etcd refuse for 5 s
		r.Confirm = refuse
		if p, err := r.Run(t.Context()); !errors.Is(err, errNotConfirmed) {
			t.Fatalf("running without agreement: got %+v and the error %v, want %v", p, err, errNotConfirmed)
		}
		if got := pids(t, dir); fmt.Sprint(got) != fmt.Sprint(running) {
			t.Errorf("processes without agreement: got %v, want %v", got, running)
		}
		r.Confirm = confirm
		if _, err := r.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Whether the newest write is recovered depends on whether the survivor's log
		// records it as committed. All earlier writes are recovered.
		checkRecovered(t, members, want)
	})
}

// waitForLeader waits until the remaining members have a leader.
func waitForLeader(t *testing.T, c *proxytest.Cluster) {
	t.Helper()
	for {
		if _, err := c.Leader(); err == nil {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal("there is no leader")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// checkRecovered checks that all members serve all keys and accept writes.
func checkRecovered(t *testing.T, members []Member, want *written) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections() // their etcds have exited
	for _, m := range members {
		want.check(t, m.Client)
		put(t, m.Client, "/again", m.Name)
		resp, err := http.Get(m.Client + "/v2/members")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range members {
			if !bytes.Contains(body, []byte(fmt.Sprintf(`"name":%q,"peerURLs":[%q],"clientURLs":[%q]`, other.Name, other.Peer, other.Client))) {
				t.Errorf("the members according to %s: got %s, want %s with its URLs", m.Name, body, other.Name)
			}
		}
	}
}

func TestWhatCannotBeRecoveredIsRefused(t *testing.T) {
	t.Parallel()
	c, folders := startCluster(t, 1)
	backup := run(t, newBackup(t, c.Members[0].URL(), folders[0])).Path
	members := spec(t, c.Members)
	c.Members[0].Close()
	dir := t.TempDir()
	segments, err := filepath.Glob(filepath.Join(backup, "member", "wal", "*.wal"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	for want, change := range map[string]func(*testing.T, *Recovery){
		"is damaged": func(t *testing.T, r *Recovery) {
			if err := flip(segments[0], 3000); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = flip(segments[0], 3000) })
		},
		"is incomplete": func(t *testing.T, r *Recovery) {
			r.Backup = filepath.Join(t.TempDir(), ".partial-etcd-20260101T000000Z")
			mkdir(t, r.Backup)
			if err := os.WriteFile(filepath.Join(r.Backup, markerFile), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"is not a data folder of etcd": func(t *testing.T, r *Recovery) { r.Backup = t.TempDir() },
		"no such file":                 func(t *testing.T, r *Recovery) { r.Backup = "/nowhere" },
		"the checksums are missing":    func(t *testing.T, r *Recovery) { r.Backup = strip(t, backup, sumsFile) },
		"it has no manifest.json":      func(t *testing.T, r *Recovery) { r.Backup = strip(t, backup, manifestFile) },
		"is not empty, but contains no member/ of etcd": func(t *testing.T, r *Recovery) {
			r.DataDir = t.TempDir()
			mkdir(t, filepath.Join(r.DataDir, "photos"))
		},
		"is inside of the other": func(t *testing.T, r *Recovery) {
			r.DataDir = filepath.Dir(backup)
			mkdir(t, filepath.Join(r.DataDir, "member"))
		},
		"is not an absolute path":               func(t *testing.T, r *Recovery) { r.DataDir = "data" },
		"have the same host and data folder":    func(t *testing.T, r *Recovery) { r.DataDir, r.Members = dir, twice(r.Members[0]) },
		"is not a valid unit name":              func(t *testing.T, r *Recovery) { r.Service = "../etcd" },
		"contains a line break":                 func(t *testing.T, r *Recovery) { r.DataDir = "/a\nb" },
		"it is unknown whether conf9999 is run": func(t *testing.T, r *Recovery) { r.Members = append(r.Members, unreachableMember()) },
	} {
		t.Run(want, func(t *testing.T) {
			r := newRecovery(t, dir, backup, members)
			change(t, r)
			if p, err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %+v and the error %v, want %q", p, err, want)
			}
		})
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

// strip copies a backup without one of its files.
func strip(t *testing.T, backup, name string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), filepath.Base(backup))
	if err := os.CopyFS(folder, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, name)); err != nil {
		t.Fatal(err)
	}
	return folder
}

func twice(m Member) []Member {
	other := m
	other.Name = "conf1002"
	return []Member{m, other}
}

// unreachableMember returns a member whose host has no address.
func unreachableMember() Member {
	return Member{"conf9999", "http://conf9999.invalid:2380", "http://conf9999.invalid:2379", "http://conf9999.invalid:4001"}
}

func TestMembersAreNamesAndHostsOrURLs(t *testing.T) {
	d := Defaults{PeerScheme: "http", PeerPort: 2380, ClientScheme: "https", ProxyPort: 4001, ListenClient: "http://127.0.0.1:2379"}
	all, err := d.Members([]string{"conf1001=conf1001.example.org", "conf1002=2001:db8::1", "conf1003=https://conf1003:1+https://conf1003:2", "conf1004=[2001:db8::4]"})
	want := []Member{
		{"conf1001", "http://conf1001.example.org:2380", "http://127.0.0.1:2379", "https://conf1001.example.org:4001"},
		{"conf1002", "http://[2001:db8::1]:2380", "http://127.0.0.1:2379", "https://[2001:db8::1]:4001"},
		{"conf1003", "https://conf1003:1", "https://conf1003:2", "https://conf1003:2"},
		{"conf1004", "http://[2001:db8::4]:2380", "http://127.0.0.1:2379", "https://[2001:db8::4]:4001"},
	}
	if err != nil || fmt.Sprint(all) != fmt.Sprint(want) {
		t.Errorf("got %v (%v), want %v", all, err, want)
	}
	for _, bad := range []string{"", "conf1001", "=host", "a b=host", "a=", "a=x y", "a=http://x:1", "a=http://x+http://x:2", "a=http://x:1+http://$(id):2", "a=host;reboot", "a=-oProxyCommand=x", "a=http://u:p@x:1+http://x:2"} {
		if all, err := d.Members([]string{bad}); err == nil {
			t.Errorf("parsing %q: got %v, want an error", bad, all)
		}
	}
	for text, want := range map[string]string{
		"a=[2001:db8::1": "is not a valid IPv6 address in brackets (hint: write it like a=[2001:db8::1]", "a=[2001:db8::1]:2380": "without a port", "a=[127.0.0.1]": "in brackets",
		"a=host:2380": "write it without a port",
	} {
		if _, err := d.Members([]string{text}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "[[") {
			t.Errorf("parsing %q: got the error %v, want %q", text, err, want)
		}
	}
	if _, err := d.Members([]string{"a=x", "a=y"}); err == nil {
		t.Error("two members with one name: got no error")
	}
}
