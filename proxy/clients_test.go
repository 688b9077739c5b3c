package proxy

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v2"
)

// tool finds an installed program.
func tool(t *testing.T, paths ...string) string {
	t.Helper()
	for _, path := range paths {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("%s is not installed", paths[0])
	return ""
}

func (f *front) caFile() string {
	f.t.Helper()
	path := filepath.Join(f.t.TempDir(), "ca.crt")
	if err := f.pki.WriteCA(path); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// command runs a program with a bounded time.
func command(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	return commandFor(t, 30*time.Second, env, name, args...)
}

func commandFor(t *testing.T, limit time.Duration, env []string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestEtcdctl(t *testing.T) {
	path := tool(t, "etcdctl")
	if out, err := command(t, []string{"ETCDCTL_API=2"}, path, "--version"); err != nil || !strings.Contains(out, "API version: 2") {
		t.Skipf("the installed etcdctl has no v2 API: %s", out)
	}
	withEtcd(t, func(t *testing.T, f *front, _ etcd) {
		ca := f.caFile()
		// Without --no-sync: it goes on at the URLs that members advertise, the proxy's.
		run := func(user string, args ...string) (string, error) {
			t.Helper()
			args = append([]string{"--endpoints", f.url(), "--ca-file", ca}, args...)
			if user != "" {
				args = append([]string{"--username", user + ":" + user + "-pw"}, args...)
			}
			return command(t, []string{"ETCDCTL_API=2"}, path, args...)
		}
		good := func(user, want string, args ...string) {
			t.Helper()
			if out, err := run(user, args...); err != nil || !strings.Contains(out, want) {
				t.Errorf("%q %v: %v\n%s", user, args, err, out)
			}
		}
		bad := func(user, want string, args ...string) {
			t.Helper()
			if out, err := run(user, args...); err == nil || !strings.Contains(out, want) {
				t.Errorf("%q %v: %v\n%s", user, args, err, out)
			}
		}
		good("root", "1", "mk", "/conftool/a", "1")
		bad("root", "Key already exists", "mk", "/conftool/a", "1")
		good("conftool", "2", "set", "/conftool/a", "2")
		good("conftool", "3", "set", "--swap-with-value", "2", "/conftool/a", "3")
		bad("conftool", "Compare failed", "set", "--swap-with-value", "2", "/conftool/a", "4")
		good("", "3", "get", "/conftool/a")
		good("nobody", "/conftool/a", "ls", "--recursive", "/")
		bad("conftool", "user authentication", "set", "/a", "1")
		bad("", "user authentication", "rm", "--recursive", "/conftool")
		good("conftool", "", "mkdir", "/conftool/dir")
		good("conftool", "", "rm", "--recursive", "/conftool/dir")
		good("", "cluster is healthy", "cluster-health")
		good("root", "isLeader=true", "member", "list")
		bad("root", "", "member", "add", "x", "http://127.0.0.1:1")
		bad("root", "", "user", "list")

		watchWith(t, f, "5\n", path, "--endpoints", f.url(), "--ca-file", ca, "watch", "/conftool/a")
		watchWith(t, f, "set 5 /conftool/a\n", path, "--endpoints", f.url(), "--ca-file", ca,
			"exec-watch", "--recursive", "/conftool/a", "--", "sh", "-c", `echo "$ETCD_WATCH_ACTION $ETCD_WATCH_VALUE $ETCD_WATCH_KEY"; kill $PPID`)
	})
}

// watchWith runs a program that waits, writes once it does, and reads what it says.
func watchWith(t *testing.T, f *front, want, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "ETCDCTL_API=2")
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the watch has reached etcd", func() bool { return f.metrics.Watches.Waiting.Load() == 1 })
	put(t, f, "/conftool/a", "5")
	_ = cmd.Wait() // exec-watch is killed by what it runs
	if !strings.Contains(out.String(), want) {
		t.Errorf("%v said %q, want %q", args, out.String(), want)
	}
	eventually(t, "the watch has left etcd", func() bool { return f.metrics.Upstream.Watching.Load() == 0 })
}

func TestPythonEtcd(t *testing.T) {
	python := tool(t, "/usr/bin/python3", "python3")
	if out, err := command(t, nil, python, "-c", "import etcd"); err != nil {
		t.Skipf("python3-etcd is not installed: %s", out)
	}
	withEtcd(t, func(t *testing.T, f *front, _ etcd) {
		out, err := command(t, nil, python, "testdata/conftool.py", f.addr[strings.LastIndexByte(f.addr, ':')+1:], f.caFile())
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestCurl(t *testing.T) {
	path := tool(t, "curl")
	withEtcd(t, func(t *testing.T, f *front, _ etcd) {
		ca := f.caFile()
		run := func(want string, args ...string) {
			t.Helper()
			out, err := command(t, nil, path, append([]string{"-sS", "--cacert", ca, "-w", " %{http_code} %{http_version}"}, args...)...)
			if err != nil || !strings.HasSuffix(out, want) {
				t.Errorf("%v: %v\n%s\nwant %s", args, err, out, want)
			}
		}
		key := f.url() + "/v2/keys/conftool/a"
		run(" 201 2", "-u", "conftool:conftool-pw", "-XPUT", "-d", "value=1", key)
		run(" 200 1.1", "--http1.1", "-u", "conftool:conftool-pw", "-XPUT", "-d", "value=1", key)
		run(" 200 2", "--anyauth", "-u", "conftool:conftool-pw", "-XPUT", "-d", "value=1", key)
		run(" 401 1.1", "--http1.1", "-u", "conftool:wrong", "-XPUT", "-d", "value=1", key)
		run(" 200 2", "-u", "conftool:wrong", key)
		run(" 200 1", "--http1.0", key)
		// More than 1 MiB: curl asks before it sends.
		large := filepath.Join(t.TempDir(), "large")
		if err := os.WriteFile(large, []byte("value="+strings.Repeat("x", 1<<20-6)), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, proto := range []string{"--http1.1", "--http2"} {
			run(map[string]string{"--http1.1": " 200 1.1", "--http2": " 200 2"}[proto], proto, "-o", "/dev/null", "-H", "Expect: 100-continue", "-u", "conftool:conftool-pw", "-XPUT", "--data-binary", "@"+large, key)
			run(map[string]string{"--http1.1": " 401 1.1", "--http2": " 401 2"}[proto], proto, "-o", "/dev/null", "-H", "Expect: 100-continue", "-XPUT", "--data-binary", "@"+large, key)
		}
	})
}

func TestGoClient(t *testing.T) {
	withEtcd(t, func(t *testing.T, f *front, _ etcd) {
		keys := func(user string) client.KeysAPI {
			t.Helper()
			c, err := client.New(client.Config{
				Endpoints: []string{f.url()}, Transport: f.client("h1").Transport.(*http.Transport), Username: user, Password: user + "-pw",
				HeaderTimeoutPerRequest: 5 * time.Second,
			})
			if err != nil {
				t.Fatal(err)
			}
			return client.NewKeysAPI(c)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		conftool, nobody := keys("conftool"), keys("nobody")
		made, err := conftool.Create(ctx, "/conftool/a", "1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nobody.Set(ctx, "/conftool/a", "2", nil); !isEtcdError(err, 110) {
			t.Errorf("a stranger's write: %v", err)
		}
		// confd: watches with waitIndex 0 and reads the tree again on each event.
		watcher := nobody.Watcher("/conftool", &client.WatcherOptions{Recursive: true, AfterIndex: 0})
		heard := make(chan *client.Response, 1)
		go func() {
			r, err := watcher.Next(ctx)
			if err != nil {
				t.Errorf("watching: %v", err)
			}
			heard <- r
		}()
		eventually(t, "the watch has reached etcd", func() bool { return f.metrics.Watches.Waiting.Load() == 1 })
		if _, err := conftool.Set(ctx, "/conftool/a", "2", &client.SetOptions{PrevIndex: made.Node.ModifiedIndex, PrevExist: client.PrevExist}); err != nil {
			t.Errorf("conftool's write: %v", err)
		}
		if r := <-heard; r == nil || r.Action != "compareAndSwap" || r.Node.Value != "2" {
			t.Errorf("heard %+v", r)
		}
		if _, err := conftool.Set(ctx, "/conftool/a", "3", &client.SetOptions{PrevIndex: made.Node.ModifiedIndex}); !isEtcdError(err, client.ErrorCodeTestFailed) {
			t.Errorf("a write over another one: %v", err)
		}
		tree, err := nobody.Get(ctx, "/conftool", &client.GetOptions{Recursive: true, Sort: true, Quorum: true})
		if err != nil || len(tree.Node.Nodes) != 1 || tree.Index == 0 {
			t.Errorf("confd's read: %+v, %v", tree, err)
		}
		// A watch from before the kept history: etcd's own 400 and 401 must pass.
		if _, err := nobody.Get(ctx, "/missing", nil); !client.IsKeyNotFound(err) {
			t.Errorf("a key that is not there: %v", err)
		}
		// MediaWiki: a slash before the query, one request a connection.
		a := f.exchange("GET /v2/keys/conftool/?recursive=true HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\nuser-agent: wikimedia/multi-http-client v1.0\r\nConnection: close\r\n\r\n")
		if a.Status != 200 || !strings.Contains(a.Body, `"key":"/conftool/a"`) {
			t.Errorf("MediaWiki's read: %d %s", a.Status, a.Body)
		}
	})
}

func isEtcdError(err error, code int) bool {
	var e client.Error
	return errors.As(err, &e) && e.Code == code
}
