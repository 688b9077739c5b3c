package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// follower is a running program that watches, and its output line by line.
type follower struct {
	t     *testing.T
	f     *fronttest.Front
	lines chan string
	ended chan struct{} // closed when the program has closed its output
	cmd   *exec.Cmd
}

func follow(t *testing.T, f *fronttest.Front, name string, args ...string) *follower {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), fronttest.Patience)
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
	w := &follower{t, f, make(chan string), make(chan struct{}), cmd}
	go func() {
		defer close(w.lines)
		defer close(w.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case w.lines <- lines.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return w
}

// waitWatching waits until the program's watch waits in a hub.
func (w *follower) waitWatching() {
	w.t.Helper()
	fronttest.Eventually(w.t, "the program's watch waits in a hub", func() bool {
		select {
		case <-w.ended:
			w.t.Fatalf("%v ended, want it to watch", w.cmd.Args)
		default:
		}
		return w.f.Metrics.Watches.Waiting.Load() == 1
	})
}

// waitWatching waits until a watch waits in a hub.
func waitWatching(t *testing.T, f *fronttest.Front) {
	t.Helper()
	fronttest.Eventually(t, "a watch waits in a hub", func() bool { return f.Metrics.Watches.Waiting.Load() == 1 })
}

// expect reads the next line that is not empty and checks that it contains want.
func (w *follower) expect(want string) {
	w.t.Helper()
	for line := range w.lines {
		if line != "" {
			if !strings.Contains(line, want) {
				w.t.Errorf("%v printed %q, want %q in it", w.cmd.Args, line, want)
			}
			return
		}
	}
	w.t.Errorf("%v ended, want it to print %q", w.cmd.Args, want)
}

func TestEtcdctlWatchesForever(t *testing.T) {
	t.Parallel()
	path := tool(t, "etcdctl")
	if out, err := command(t, []string{"ETCDCTL_API=2"}, path, "--version"); err != nil || !strings.Contains(out, "API version: 2") {
		t.Skipf("the installed etcdctl has no v2 API: %s", out)
	}
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, _ fronttest.Etcd) {
		w := follow(t, f, path, "--endpoints", f.URL(), "--ca-file", caFile(t, f), "watch", "--forever", "--recursive", "/conftool")
		w.waitWatching()
		for i := range 20 {
			f.Put(t, fmt.Sprintf("/conftool/k%d", i), fmt.Sprint("value", i))
		}
		for i := range 20 {
			w.expect(fmt.Sprintf("[set] /conftool/k%d", i))
			w.expect(fmt.Sprint("value", i))
		}
	})
}

func TestPythonEtcdFollowsAKey(t *testing.T) {
	t.Parallel()
	python := tool(t, "/usr/bin/python3", "python3")
	if out, err := command(t, nil, python, "-c", "import etcd"); err != nil {
		t.Skipf("python3-etcd is not installed: %s", out)
	}
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, _ fronttest.Etcd) {
		w := follow(t, f, python, "testdata/watcher.py", f.Addr[strings.LastIndexByte(f.Addr, ':')+1:], caFile(t, f))
		w.waitWatching()
		f.Put(t, "/conftool/followed/a", "first")
		w.expect("one first")
		w.waitWatching()
		for i := range 10 {
			f.Put(t, "/conftool/followed/a", fmt.Sprint(i))
		}
		f.Put(t, "/conftool/followed/b", "last")
		for i := range 10 {
			w.expect(fmt.Sprintf("event set /conftool/followed/a %d", i))
		}
		w.expect("event set /conftool/followed/b last")
		if err := w.cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestGoClientFollowsAKey(t *testing.T) {
	t.Parallel()
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, _ fronttest.Etcd) {
		c, err := client.New(client.Config{Endpoints: []string{f.URL()}, Transport: f.Client("h1").Transport.(*http.Transport)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), fronttest.Patience)
		defer cancel()
		watcher := client.NewKeysAPI(c).Watcher("/conftool", &client.WatcherOptions{Recursive: true})
		events := make(chan string)
		go func() {
			defer close(events)
			for range 20 {
				r, err := watcher.Next(ctx)
				if err != nil {
					t.Errorf("watching: %v", err)
					return
				}
				events <- r.Node.Value
			}
		}()
		waitWatching(t, f)
		for i := range 20 {
			f.Put(t, "/conftool/a", fmt.Sprint(i))
		}
		next := 0
		for value := range events {
			if value != fmt.Sprint(next) {
				t.Errorf("watching: got the event %s, want %d", value, next)
			}
			next++
		}
	})
}

func TestCurlStreams(t *testing.T) {
	t.Parallel()
	path := tool(t, "curl")
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, _ fronttest.Etcd) {
		w := follow(t, f, path, "-sSN", "--cacert", caFile(t, f), f.URL()+"/v2/keys/conftool?wait=true&recursive=true&stream=true")
		first := make(chan struct{})
		go func() {
			w.expect(`"value":"first"`)
			close(first)
		}()
		for received := false; !received; { // curl does not show when its watch has started
			f.Put(t, "/conftool/a", "first")
			select {
			case <-first:
				received = true
			case <-time.After(10 * time.Millisecond):
			}
		}
		for i := range 3 {
			f.Put(t, "/conftool/a", fmt.Sprint(i))
		}
		line := ""
		for line = range w.lines {
			if !strings.Contains(line, `"node":{"key":"/conftool/a","value":"first"`) {
				break
			}
		}
		if !strings.Contains(line, `"value":"0"`) {
			t.Errorf("after the first event: got %s, want the value 0", line)
		}
		w.expect(`"value":"1"`)
		w.expect(`"value":"2"`)
	})
}
