package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/proxy/proxytest"
)

// follower is a program that watches, and what it says, line by line.
type follower struct {
	t     *testing.T
	f     *front
	lines *bufio.Scanner
	cmd   *exec.Cmd
}

func follow(t *testing.T, f *front, name string, args ...string) *follower {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "ETCDCTL_API=2")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	return &follower{t, f, bufio.NewScanner(out), cmd}
}

// watching waits until the program does, in a hub.
func (w *follower) watching() {
	w.t.Helper()
	awaitWatch(w.t, w.f)
}

func awaitWatch(t *testing.T, f *front) {
	t.Helper()
	eventually(t, "it watches", func() bool { return f.metrics.Watches.Waiting.Load() == 1 })
}

func (w *follower) says(want string) {
	w.t.Helper()
	for w.lines.Scan() {
		if line := w.lines.Text(); line != "" {
			if !strings.Contains(line, want) {
				w.t.Errorf("%v says %q, want %q", w.cmd.Args, line, want)
			}
			return
		}
	}
	w.t.Errorf("%v has ended, and should say %q", w.cmd.Args, want)
}

func TestEtcdctlWatchesForever(t *testing.T) {
	path := tool(t, "etcdctl")
	if out, err := command(t, []string{"ETCDCTL_API=2"}, path, "--version"); err != nil || !strings.Contains(out, "API version: 2") {
		t.Skipf("the installed etcdctl has no v2 API: %s", out)
	}
	withEtcd(t, func(t *testing.T, f *front, _ etcd) {
		w := follow(t, f, path, "--endpoints", f.url(), "--ca-file", f.caFile(), "watch", "--forever", "--recursive", "/conftool")
		w.watching()
		for i := range 20 {
			put(t, f, fmt.Sprintf("/conftool/k%d", i), fmt.Sprint("value", i))
		}
		for i := range 20 {
			w.says(fmt.Sprintf("[set] /conftool/k%d", i))
			w.says(fmt.Sprint("value", i))
		}
	})
}

func TestPythonEtcdFollowsAKey(t *testing.T) {
	python := tool(t, "/usr/bin/python3", "python3")
	if out, err := command(t, nil, python, "-c", "import etcd"); err != nil {
		t.Skipf("python3-etcd is not installed: %s", out)
	}
	withEtcd(t, func(t *testing.T, f *front, _ etcd) {
		w := follow(t, f, python, "testdata/watcher.py", f.addr[strings.LastIndexByte(f.addr, ':')+1:], f.caFile())
		w.watching()
		put(t, f, "/conftool/followed/a", "first")
		w.says("one first")
		w.watching()
		for i := range 10 {
			put(t, f, "/conftool/followed/a", fmt.Sprint(i))
		}
		put(t, f, "/conftool/followed/b", "last")
		for i := range 10 {
			w.says(fmt.Sprintf("event set /conftool/followed/a %d", i))
		}
		w.says("event set /conftool/followed/b last")
		if err := w.cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestGoClientFollowsAKey(t *testing.T) {
	withEtcd(t, func(t *testing.T, f *front, _ etcd) {
		c, err := client.New(client.Config{Endpoints: []string{f.url()}, Transport: f.client("h1").Transport.(*http.Transport)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		watcher := client.NewKeysAPI(c).Watcher("/conftool", &client.WatcherOptions{Recursive: true})
		heard := make(chan string)
		go func() {
			defer close(heard)
			for range 20 {
				r, err := watcher.Next(ctx)
				if err != nil {
					t.Errorf("following: %v", err)
					return
				}
				heard <- r.Node.Value
			}
		}()
		awaitWatch(t, f)
		for i := range 20 {
			put(t, f, "/conftool/a", fmt.Sprint(i))
		}
		next := 0
		for value := range heard {
			if value != fmt.Sprint(next) {
				t.Errorf("heard %s, want %d", value, next)
			}
			next++
		}
	})
}

func TestCurlStreams(t *testing.T) {
	path := tool(t, "curl")
	withEtcd(t, func(t *testing.T, f *front, _ etcd) {
		w := follow(t, f, path, "-sSN", "--cacert", f.caFile(), f.url()+"/v2/keys/conftool?wait=true&recursive=true&stream=true")
		first := make(chan struct{})
		go func() {
			w.says(`"value":"first"`)
			close(first)
		}()
		for heard := false; !heard; { // curl does not tell when it watches
			put(t, f, "/conftool/a", "first")
			select {
			case <-first:
				heard = true
			case <-time.After(10 * time.Millisecond):
			}
		}
		for i := range 3 {
			put(t, f, "/conftool/a", fmt.Sprint(i))
		}
		for w.lines.Scan() && strings.Contains(w.lines.Text(), `"node":{"key":"/conftool/a","value":"first"`) {
		}
		if !strings.Contains(w.lines.Text(), `"value":"0"`) {
			t.Errorf("behind the first: %s", w.lines.Text())
		}
		w.says(`"value":"1"`)
		w.says(`"value":"2"`)
	})
}

// TestPyBalFollowsAPool makes a connection for each watch, without ALPN, and goes on
// from the index in the head.
func TestPyBalFollowsAPool(t *testing.T) {
	withEtcd(t, func(t *testing.T, f *front, _ etcd) {
		put(t, f, "/conftool/v1/pools/a", "0")
		next := uint64(0)
		for i := 1; i < 6; i++ {
			c, err := proxytest.DialRaw(f.addr, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			query := "recursive=true&wait=true"
			if next > 0 {
				query = fmt.Sprintf("recursive=true&waitIndex=%d&wait=true", next)
			}
			if err := c.Send("GET /v2/keys/conftool/v1/pools/?" + query + " HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			a, err := c.Head()
			if err != nil {
				t.Fatal(err)
			}
			index, spelled := a.Field("X-Etcd-Index")
			if !spelled {
				t.Fatalf("%q", a.Lines)
			}
			put(t, f, "/conftool/v1/pools/a", fmt.Sprint(i))
			if err := c.ReadBody(a, "GET"); err != nil || !a.Whole {
				t.Fatalf("%+v, %v", a, err)
			}
			// An index from before the last event brings that event once more, as etcd does.
			event, err := eventIndex(a.Body)
			if err != nil || event < next {
				t.Errorf("event %d since %d: %v", event, next, err)
			}
			if _, err := fmt.Sscan(index, &next); err != nil {
				t.Fatal(err)
			}
			next++
			if n, _ := io.Copy(io.Discard, c); n != 0 {
				t.Errorf("%d bytes behind the event", n)
			}
		}
	})
}
