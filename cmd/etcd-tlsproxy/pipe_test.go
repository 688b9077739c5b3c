package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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

// TestNobodyWaitsForTheReaderOfALog stops to read a pipe that has all logs: clients, the status
// and the end of the process do not wait.
func TestNobodyWaitsForTheReaderOfALog(t *testing.T) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	f := newFolder(t, fmt.Sprintf(daemontest.SeedConfig, etcd.URL())+"[log]\naccess = \"stderr\"\naudit = \"stderr\"\n")
	file, addr := socket(t)
	adminFile, admin := socket(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	service := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve --config "$1"`, filepath.Join(f.dir, "etcd-tlsproxy"), filepath.Join(f.dir, "etcd-tlsproxy.toml"))
	service.Stdout, service.Stderr, service.ExtraFiles = writer, writer, []*os.File{file, adminFile}
	service.Env = append(os.Environ(), "LISTEN_FDS=2", "LISTEN_FDNAMES=https:admin")
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- service.Wait() }()
	t.Cleanup(func() { _ = service.Process.Kill() })
	writer.Close()
	for log := bufio.NewScanner(reader); !strings.Contains(log.Text(), "msg=serving"); {
		if !log.Scan() {
			t.Fatal("the log ended before the program served")
		}
	}
	client := f.client()
	for i := range 2000 { // more than a pipe holds
		resp, err := client.Get("https://" + addr + "/v2/keys/")
		if err != nil {
			t.Fatalf("read %d: %v", i, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	client.Timeout, client.Transport = 20*time.Second, http.DefaultTransport
	resp, err := client.Get("http://" + admin + "/-/status.json")
	if err != nil {
		t.Fatalf("the status: %v", err)
	}
	resp.Body.Close()
	if err := service.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the end of the process: %v, want status 0", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the process does not end within 30s")
	}
}
