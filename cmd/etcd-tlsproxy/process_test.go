package main

import (
	"crypto/tls"
	"fmt"
	"net"
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

// folder contains the files of a service that runs as a process of its own, like under
// a service manager.
type folder struct {
	t   *testing.T
	dir string
	pki *proxytest.PKI
}

func newFolder(t *testing.T, config string) *folder {
	t.Helper()
	f := &folder{t: t, dir: t.TempDir()}
	var err error
	if f.pki, err = proxytest.NewPKI(); err != nil {
		t.Fatal(err)
	}
	cert, key, err := f.pki.Server("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	users, err := proxytest.Htpasswd(map[string]string{"root": "root-1", "conftool": "conftool-1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"server.crt": cert, "server.key": key, "htpasswd": users, "etcd-tlsproxy.toml": []byte(config)} {
		if err := os.WriteFile(filepath.Join(f.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Under this name the test binary runs the program; see TestMain.
	if err := os.Symlink(self, filepath.Join(f.dir, "etcd-tlsproxy")); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *folder) client() *http.Client {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.pki.Pool()}}}
	f.t.Cleanup(client.CloseIdleConnections)
	return client
}

// process is a running etcd-tlsproxy.
type process struct {
	*exec.Cmd
	t      *testing.T
	log    *daemontest.Output
	exited chan struct{}
}

// start runs the program with the sockets of a service manager, and waits until its log
// says that it serves.
func (f *folder) start(names string, env []string, sockets ...*os.File) *process {
	f.t.Helper()
	p := &process{t: f.t, log: &daemontest.Output{}, exited: make(chan struct{})}
	// LISTEN_PID names the process that the sockets are for. The program replaces the
	// shell, so it has the same process id. OPEN_FILES limits its files.
	p.Cmd = exec.Command("sh", "-c", `ulimit -n "${OPEN_FILES:-$(ulimit -n)}"; LISTEN_PID=$$ exec "$0" serve --config "$1"`, filepath.Join(f.dir, "etcd-tlsproxy"), filepath.Join(f.dir, "etcd-tlsproxy.toml"))
	p.Stdout, p.Stderr, p.ExtraFiles = p.log, p.log, sockets
	p.Env = append(os.Environ(), env...)
	if len(sockets) > 0 {
		p.Env = append(p.Env, fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES="+names)
	}
	if err := p.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		_ = p.Wait()
		close(p.exited)
	}()
	f.t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.exited
	})
	limit := time.Now().Add(20 * time.Second)
	for !strings.Contains(p.log.String(), "msg=serving") {
		select {
		case <-p.exited:
			f.t.Fatalf("the program ended instead of serving:\n%s", p.log)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(limit) {
			f.t.Fatalf("after 20s the program does not serve:\n%s", p.log)
		}
	}
	return p
}

// terminate stops the program like a service manager, and waits for its end.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	<-p.exited
	if code := p.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("the program ended with status %d, want 0:\n%s", code, p.log)
	}
}

// socket returns a socket of the service manager, and its address.
func socket(t *testing.T) (file *os.File, addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // the file is another descriptor of the socket
	if file, err = ln.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file, ln.Addr().String()
}
