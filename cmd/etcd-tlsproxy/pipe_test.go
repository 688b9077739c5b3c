package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
)

// TestTheServiceOutlivesTheReaderOfItsLog closes the reader of the log, like a journal
// that crashes.
func TestTheServiceOutlivesTheReaderOfItsLog(t *testing.T) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	f := newFolder(t, fmt.Sprintf(daemontest.SeedConfig, etcd.URL()))
	file, addr := socket(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	service := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve --config "$1"`, filepath.Join(f.dir, "etcd-tlsproxy"), filepath.Join(f.dir, "etcd-tlsproxy.toml"))
	service.Stdout, service.Stderr, service.ExtraFiles = writer, writer, []*os.File{file}
	service.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=etcd-tlsproxy.socket")
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = service.Process.Kill()
		_ = service.Wait()
	})
	writer.Close()
	for log := bufio.NewScanner(reader); ; {
		if !log.Scan() {
			t.Fatal("the log ended before the program served")
		}
		if strings.Contains(log.Text(), "msg=serving") {
			break
		}
	}
	reader.Close()
	client := f.client()
	for range 3 { // each writes a line to the audit log
		req, err := http.NewRequest("PUT", "https://"+addr+"/v2/keys/conftool/a?value=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("a write without a password: got status %s, want 401", resp.Status)
		}
	}
}
