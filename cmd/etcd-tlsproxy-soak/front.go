package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// front is the proxy, as a process of its own.
type front struct {
	cmd    *exec.Cmd
	admin  string
	log    string // the file of what it says
	client *http.Client
	exited chan struct{}
	err    error // of its end; set when exited is closed
}

// startFront starts the proxy and waits until it serves.
func startFront(program string, s *stage) (*front, error) {
	f := &front{admin: "http://" + s.admin, log: s.path("log"), client: &http.Client{Timeout: patience}, exited: make(chan struct{})}
	log, err := os.Create(f.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own copy
	f.cmd = exec.Command(program, "serve", "--config", s.path("etcd-tlsproxy.toml"))
	f.cmd.Stdout, f.cmd.Stderr = log, log
	// It does not outlive this program. Ctrl-C is for this program, which ends it.
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := f.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the proxy: %w", err)
	}
	go func() {
		f.err = f.cmd.Wait()
		close(f.exited)
	}()
	for limit := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if resp, err := f.client.Get(f.admin + "/-/ready"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return f, nil
			}
		}
		if f.gone() || time.Now().After(limit) {
			_ = f.stop()
			said, _ := os.ReadFile(f.log)
			return nil, fmt.Errorf("starting the proxy: it does not serve\n%s", said)
		}
	}
}

func (f *front) gone() bool {
	select {
	case <-f.exited:
		return true
	default:
		return false
	}
}

func (f *front) signal(s syscall.Signal) { _ = f.cmd.Process.Signal(s) }

// stop ends it by its number, and reports an end that is not the right one.
func (f *front) stop() error {
	early := f.gone()
	f.signal(syscall.SIGTERM)
	select {
	case <-f.exited:
	case <-time.After(patience):
		f.signal(syscall.SIGKILL)
		<-f.exited
		return errors.New("the proxy did not end on SIGTERM")
	}
	if early || f.err != nil {
		return fmt.Errorf("the proxy ended early or with an error: %v; see %s", f.err, f.log)
	}
	return nil
}

// complaints are the lines of its log that no service should write.
func (f *front) complaints() (lines []string) {
	data, err := os.ReadFile(f.log)
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

// reload asks for a reload, and reports whether it was one.
func (f *front) reload() error {
	resp, err := f.client.Post(f.admin+"/-/reload", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("asking for a reload: %s", text)
	}
	return err
}

// figures are the proxy's size at a moment.
type figures struct {
	Goroutines  int
	Descriptors int // without the connections to etcd that are kept for later
	Memory      int64
	Connections int // of clients
	Watches     int
}

func (f *front) figures() (figures, error) {
	m, err := f.metrics()
	if err != nil {
		return figures{}, err
	}
	idle := int(m[`etcd_tlsproxy_upstream_connections{state="idle"}`])
	return figures{
		Goroutines: int(m["go_goroutines"]), Descriptors: int(m["process_open_fds"]) - idle, Memory: int64(m["process_resident_memory_bytes"]),
		Connections: int(m["etcd_tlsproxy_connections"]), Watches: int(m["etcd_tlsproxy_watches"]),
	}, nil
}

// metrics reads all that it exports, by name and labels.
func (f *front) metrics() (map[string]float64, error) {
	resp, err := f.client.Get(f.admin + "/metrics")
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	m := make(map[string]float64)
	for line := range strings.Lines(string(data)) {
		cut := strings.LastIndexByte(line, ' ')
		if line[0] == '#' || cut < 0 {
			continue
		}
		if value, err := strconv.ParseFloat(strings.TrimSpace(line[cut:]), 64); err == nil {
			m[line[:cut]] = value
		}
	}
	return m, nil
}
