package env

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
	"etcd-tlsproxy/proxy/proxytest"
)

// Proxy is the proxy as a process.
type Proxy struct {
	*proxytest.Child
	Log    string // the path of its output
	Listen string // its address
	admin  string
	client *http.Client
}

// StartProxy starts the proxy and waits until it serves.
func StartProxy(program string, f *Files) (*Proxy, error) {
	return startProxy(program, f.Path(proxyFile), f.Path("log"), f.Listen, f.Admin)
}

// StartCompanion starts another proxy before the same etcd, at its own URL, and waits until it serves.
func StartCompanion(program string, f *Files, url string) (*Proxy, error) {
	if err := f.configureCompanion(url); err != nil {
		return nil, err
	}
	return startProxy(program, f.Path(companionFile), f.Path("companion-log"), f.companionListen, f.companionAdmin)
}

// InitStore makes an empty tree in the v3 store of etcd.
func InitStore(program string, f *Files) error {
	if out, err := exec.Command(program, "migrate", "init", "--config", f.Path(proxyFile), "--yes").CombinedOutput(); err != nil {
		return fmt.Errorf("making an empty tree: %w\n%s", err, out)
	}
	return nil
}

// Rehearse makes the copy in the v3 store of an etcd that the shadow of the proxy needs.
func Rehearse(program string, f *Files, e Etcd) error {
	data := f.Path("etcd")
	if own := filepath.Join(data, "data"); isFolder(own) { // of an etcd that runs as a process
		data = own
	}
	cmd := exec.Command(program, "migrate", "rehearse", "--config", f.Path(proxyFile), "--endpoints", "http://"+e.Target(), "--data-dir", data, "--yes")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making the copy: %w\n%s", err, out)
	}
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func startProxy(program, config, log, listen, admin string) (p *Proxy, err error) {
	p = &Proxy{
		Log: log, Listen: listen, admin: "http://" + admin,
		client: &http.Client{Transport: &http.Transport{}, Timeout: transport.Timeout},
	}
	if p.Child, err = proxytest.StartChild(p.Log, program, "serve", "--config", config); err != nil {
		return nil, err
	}
	for limit := time.Now().Add(transport.Timeout); ; time.Sleep(10 * time.Millisecond) {
		if resp, err := p.client.Get(p.admin + "/-/ready"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return p, nil
			}
		}
		if p.HasExited() || time.Now().After(limit) {
			_ = p.Stop()
			text, _ := os.ReadFile(p.Log)
			return nil, fmt.Errorf("starting the proxy: it does not serve\n%s", text)
		}
	}
}

// Kill kills the process, like a crash, and waits until it has exited.
func (p *Proxy) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.Exited()
	p.client.CloseIdleConnections()
}

// Stop ends the process with SIGTERM. It is an error if the process has ended before,
// ends with an error, or does not end.
func (p *Proxy) Stop() error {
	defer p.client.CloseIdleConnections()
	early := p.HasExited()
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.Exited():
	case <-time.After(transport.Timeout):
		p.Signal(syscall.SIGKILL)
		<-p.Exited()
		return fmt.Errorf("the proxy did not end within %v of SIGTERM", transport.Timeout)
	}
	if err := p.ExitError(); err != nil {
		return fmt.Errorf("the proxy ended with an error: %w; see %s", err, p.Log)
	}
	if early {
		return fmt.Errorf("the proxy ended before it was stopped; see %s", p.Log)
	}
	return nil
}

// BadLogLines returns the lines of the log that a service must never write.
func (p *Proxy) BadLogLines() (lines []string) {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return []string{err.Error()}
	}
	for line := range bytes.Lines(data) {
		for _, bad := range []string{"panic", "BUG:", "DATA RACE", "fatal error", "superfluous"} {
			if bytes.Contains(line, []byte(bad)) {
				lines = append(lines, string(bytes.TrimSpace(line)))
			}
		}
	}
	return lines
}

// Reload makes the proxy reload its configuration, and reports why it could not.
func (p *Proxy) Reload() error {
	resp, err := p.client.Post(p.admin+"/-/reload", "", nil)
	if err != nil {
		return fmt.Errorf("reloading: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(string(bytes.TrimSpace(text)))
	}
	if err != nil {
		return fmt.Errorf("reloading: %w", err)
	}
	return nil
}
