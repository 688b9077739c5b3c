package env

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// Proxy is the proxy as a process.
type Proxy struct {
	Log    string // the path of its output
	cmd    *exec.Cmd
	admin  string
	client *http.Client
	exited chan struct{}
	err    error // of its end; is set before exited is closed
}

// StartProxy starts the proxy and waits until it serves.
func StartProxy(program string, f *Files) (*Proxy, error) {
	p := &Proxy{
		Log: f.Path("log"), admin: "http://" + f.Admin, exited: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{}, Timeout: transport.Timeout},
	}
	log, err := os.Create(p.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own descriptor
	p.cmd = exec.Command(program, "serve", "--config", f.Path("etcd-tlsproxy.toml"))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// The kernel kills it when this program ends. Ctrl-C must not reach it: this program
	// stops it when the report no longer needs it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the proxy: %w", err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
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

// Pid returns the number of the process.
func (p *Proxy) Pid() int { return p.cmd.Process.Pid }

// Exited returns a channel that is closed when the process has ended.
func (p *Proxy) Exited() <-chan struct{} { return p.exited }

// HasExited reports whether the process has ended.
func (p *Proxy) HasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// ExitError returns how the process has ended. It must have exited.
func (p *Proxy) ExitError() error { return p.err }

// Signal sends a signal to the process.
func (p *Proxy) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Stop ends the process with SIGTERM. It is an error if the process has ended before,
// ends with an error, or does not end.
func (p *Proxy) Stop() error {
	defer p.client.CloseIdleConnections()
	early := p.HasExited()
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(transport.Timeout):
		p.Signal(syscall.SIGKILL)
		<-p.exited
		return fmt.Errorf("the proxy did not end within %v of SIGTERM", transport.Timeout)
	}
	if p.err != nil {
		return fmt.Errorf("the proxy ended with an error: %w; see %s", p.err, p.Log)
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
