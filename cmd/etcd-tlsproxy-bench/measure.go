package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// sample is one measurement of one proxy.
type sample struct {
	Rate        float64 // requests a second
	CPU         float64 // of the proxy, in microseconds a request
	UpstreamCPU float64 // of what is behind it, likewise; 0 if it is not a process of its own
	P50         float64 // latencies in microseconds
	P99         float64
	P999        float64
	Memory      float64 // bytes an idle connection
	Errors      int64
	FirstError  string `json:",omitempty"`
}

// measure loads a target from a process of its own and takes the CPU times
// around the load, without the time to connect.
func (s *stage) measure(t *target, sc *scenario, duration time.Duration) (*sample, error) {
	l := sc.load
	l.Address, l.CA, l.Status = t.address, s.ca, 200
	if l.Duration == 0 {
		l.Duration = duration
	}
	spec, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(s.self, "load")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	memory := t.proc.rss()
	if t.storm != nil {
		stop, err := s.storm(t)
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer cmd.Wait()
	fmt.Fprintf(in, "%s\n", spec)
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || strings.TrimSpace(line) != "ready" {
		return nil, fmt.Errorf("loading %s: the generator did not start: %q, %v", t.name, line, err)
	}
	m := &sample{Memory: float64(t.proc.rss()-memory) / float64(l.Conns)}
	proxy, upstream := t.proc.cpu(), s.upstreamCPU(sc)
	fmt.Fprintln(in, "go")
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", t.name, err)
	}
	proxy, upstream = t.proc.cpu()-proxy, s.upstreamCPU(sc)-upstream
	var r result
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, fmt.Errorf("loading %s: %w", t.name, err)
	}
	m.Errors, m.FirstError = r.Errors, r.FirstError
	if r.Requests > 0 {
		n := float64(r.Requests)
		m.Rate = n / r.Seconds
		m.CPU = float64(proxy.Microseconds()) / n
		m.UpstreamCPU = float64(upstream.Microseconds()) / n
		m.P50, m.P99, m.P999 = float64(r.P50), float64(r.P99), float64(r.P999)
	}
	return m, nil
}

// storm starts clients that are refused, 3,000 times a second, until stop.
func (s *stage) storm(t *target) (stop func(), err error) {
	spec, err := json.Marshal(load{Address: t.address, CA: s.ca, Conns: 16, Duration: time.Hour, Rate: 3000, Requests: [][]byte{t.storm}, Refused: true})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(s.self, "load")
	cmd.Stdin = strings.NewReader(string(spec) + "\ngo\n")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}, nil
}

// upstreamCPU is the time used behind the proxy.
func (s *stage) upstreamCPU(sc *scenario) time.Duration {
	switch {
	case !sc.etcd:
		return s.null.cpu()
	case s.etcd != nil:
		return cpuOf(s.etcd.Pid())
	}
	return 0
}
