package proxy_test

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

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// tool returns the path of an installed program, and skips the test if there is none.
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

// caFile writes the CA of the proxy's certificate to a file.
func caFile(t *testing.T, f *fronttest.Front) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := f.PKI.WriteCA(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// command runs a program to its end and returns its output.
func command(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	return commandFor(t, fronttest.Patience, env, name, args...)
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
	t.Parallel()
	path := tool(t, "etcdctl")
	if out, err := command(t, []string{"ETCDCTL_API=2"}, path, "--version"); err != nil || !strings.Contains(out, "API version: 2") {
		t.Skipf("the installed etcdctl has no v2 API: %s", out)
	}
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, _ fronttest.Etcd) {
		ca := caFile(t, f)
		// Without --no-sync etcdctl continues at the URLs that the members advertise, which
		// are the proxy's.
		run := func(user string, args ...string) (string, error) {
			t.Helper()
			args = append([]string{"--endpoints", f.URL(), "--ca-file", ca}, args...)
			if user != "" {
				args = append([]string{"--username", user + ":" + user + "-pw"}, args...)
			}
			return command(t, []string{"ETCDCTL_API=2"}, path, args...)
		}
		good := func(user, want string, args ...string) {
			t.Helper()
			if out, err := run(user, args...); err != nil || !strings.Contains(out, want) {
				t.Errorf("etcdctl %v by %q: got %v and\n%s\nwant success and %q", args, user, err, out, want)
			}
		}
		bad := func(user, want string, args ...string) {
			t.Helper()
			if out, err := run(user, args...); err == nil || !strings.Contains(out, want) {
				t.Errorf("etcdctl %v by %q: got %v and\n%s\nwant a failure and %q", args, user, err, out, want)
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

		watchWith(t, f, "5\n", path, "--endpoints", f.URL(), "--ca-file", ca, "watch", "/conftool/a")
		watchWith(t, f, "set 5 /conftool/a\n", path, "--endpoints", f.URL(), "--ca-file", ca,
			"exec-watch", "--recursive", "/conftool/a", "--", "sh", "-c", `echo "$ETCD_WATCH_ACTION $ETCD_WATCH_VALUE $ETCD_WATCH_KEY"; kill $PPID`)
	})
}

// watchWith starts a program that watches, writes the key when the watch has reached
// etcd, and checks what the program prints.
func watchWith(t *testing.T, f *fronttest.Front, want, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), fronttest.Patience)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "ETCDCTL_API=2")
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fronttest.Eventually(t, "the watch has reached etcd", func() bool { return f.Metrics.Watches.Waiting.Load() == 1 })
	f.Put(t, "/conftool/a", "5")
	_ = cmd.Wait() // exec-watch is killed by the command that it runs
	if !strings.Contains(out.String(), want) {
		t.Errorf("%v printed %q, want %q in it", args, out.String(), want)
	}
	fronttest.Eventually(t, "no watch is left at etcd", func() bool { return f.Metrics.Upstream.Watching.Load() == 0 })
}

func TestPythonEtcd(t *testing.T) {
	t.Parallel()
	python := tool(t, "/usr/bin/python3", "python3")
	if out, err := command(t, nil, python, "-c", "import etcd"); err != nil {
		t.Skipf("python3-etcd is not installed: %s", out)
	}
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, _ fronttest.Etcd) {
		out, err := command(t, nil, python, "testdata/conftool.py", f.Addr[strings.LastIndexByte(f.Addr, ':')+1:], caFile(t, f))
		if err != nil {
			t.Errorf("conftool.py: %v\n%s", err, out)
		}
	})
}

func TestCurl(t *testing.T) {
	t.Parallel()
	path := tool(t, "curl")
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, _ fronttest.Etcd) {
		ca := caFile(t, f)
		run := func(want string, args ...string) {
			t.Helper()
			out, err := command(t, nil, path, append([]string{"-sS", "--cacert", ca, "-w", " %{http_code} %{http_version}"}, args...)...)
			if err != nil || !strings.HasSuffix(out, want) {
				t.Errorf("curl %v: got %v and\n%s\nwant success and %q at the end", args, err, out, want)
			}
		}
		key := f.URL() + "/v2/keys/conftool/a"
		run(" 201 2", "-u", "conftool:conftool-pw", "-XPUT", "-d", "value=1", key)
		run(" 200 1.1", "--http1.1", "-u", "conftool:conftool-pw", "-XPUT", "-d", "value=1", key)
		run(" 200 2", "--anyauth", "-u", "conftool:conftool-pw", "-XPUT", "-d", "value=1", key)
		run(" 401 1.1", "--http1.1", "-u", "conftool:wrong", "-XPUT", "-d", "value=1", key)
		run(" 200 2", "-u", "conftool:wrong", key)
		run(" 200 1", "--http1.0", key)
		// curl sends Expect for bodies of more than 1 MiB.
		large := filepath.Join(t.TempDir(), "large")
		if err := os.WriteFile(large, []byte("value="+strings.Repeat("x", 1<<20-6)), 0o600); err != nil {
			t.Fatal(err)
		}
		for option, version := range map[string]string{"--http1.1": "1.1", "--http2": "2"} {
			args := []string{option, "-o", "/dev/null", "-H", "Expect: 100-continue", "-XPUT", "--data-binary", "@" + large, key}
			run(" 200 "+version, append([]string{"-u", "conftool:conftool-pw"}, args...)...)
			run(" 401 "+version, args...)
		}
	})
}

func TestGoClient(t *testing.T) {
	t.Parallel()
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, _ fronttest.Etcd) {
		keys := func(user string) client.KeysAPI {
			t.Helper()
			c, err := client.New(client.Config{
				Endpoints: []string{f.URL()}, Transport: f.Client("h1").Transport.(*http.Transport), Username: user, Password: user + "-pw",
				HeaderTimeoutPerRequest: fronttest.Patience,
			})
			if err != nil {
				t.Fatal(err)
			}
			return client.NewKeysAPI(c)
		}
		ctx, cancel := context.WithTimeout(context.Background(), fronttest.Patience)
		defer cancel()
		conftool, unknown := keys("conftool"), keys("nobody")
		made, err := conftool.Create(ctx, "/conftool/a", "1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unknown.Set(ctx, "/conftool/a", "2", nil); !isEtcdError(err, 110) {
			t.Errorf("writing as an unknown user: got %v, want etcd's error 110", err)
		}
		// Like confd: it watches with waitIndex 0 and reads the tree again after each event.
		watcher := unknown.Watcher("/conftool", &client.WatcherOptions{Recursive: true, AfterIndex: 0})
		event := make(chan *client.Response, 1)
		go func() {
			r, err := watcher.Next(ctx)
			if err != nil {
				t.Errorf("watching: %v", err)
			}
			event <- r
		}()
		fronttest.Eventually(t, "the watch has reached etcd", func() bool { return f.Metrics.Watches.Waiting.Load() == 1 })
		if _, err := conftool.Set(ctx, "/conftool/a", "2", &client.SetOptions{PrevIndex: made.Node.ModifiedIndex, PrevExist: client.PrevExist}); err != nil {
			t.Errorf("writing as conftool: %v", err)
		}
		if r := <-event; r == nil || r.Action != "compareAndSwap" || r.Node.Value != "2" {
			t.Errorf("watching: got %+v, want compareAndSwap to \"2\"", r)
		}
		if _, err := conftool.Set(ctx, "/conftool/a", "3", &client.SetOptions{PrevIndex: made.Node.ModifiedIndex}); !isEtcdError(err, client.ErrorCodeTestFailed) {
			t.Errorf("writing with an index from before the last write: got %v, want etcd's error %d", err, client.ErrorCodeTestFailed)
		}
		tree, err := unknown.Get(ctx, "/conftool", &client.GetOptions{Recursive: true, Sort: true, Quorum: true})
		if err != nil || len(tree.Node.Nodes) != 1 || tree.Index == 0 {
			t.Errorf("reading the tree: got %+v, %v; want one node and an index", tree, err)
		}
		// Errors of etcd's own must reach the client.
		if _, err := unknown.Get(ctx, "/missing", nil); !client.IsKeyNotFound(err) {
			t.Errorf("reading a missing key: got %v, want etcd's error %d", err, client.ErrorCodeKeyNotFound)
		}
		// Like MediaWiki: a slash before the query, and one request per connection.
		a := f.Exchange("GET /v2/keys/conftool/?recursive=true HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\nuser-agent: wikimedia/multi-http-client v1.0\r\nConnection: close\r\n\r\n")
		if a.Status != 200 || !strings.Contains(a.Body, `"key":"/conftool/a"`) {
			t.Errorf("reading like MediaWiki: got %d %s, want 200 and the key", a.Status, a.Body)
		}
	})
}

func isEtcdError(err error, code int) bool {
	var e client.Error
	return errors.As(err, &e) && e.Code == code
}
