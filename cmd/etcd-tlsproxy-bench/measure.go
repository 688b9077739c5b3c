package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
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
	Refused     float64 `json:",omitempty"` // wrong passwords answered meanwhile, a second
	Errors      int64
	FirstError  string `json:",omitempty"`

	// Of scenarios of their own kind, and nothing else.
	Watch  *watchSample  `json:",omitempty"`
	Outage *outageSample `json:",omitempty"`
}

// measure loads a target from a process of its own and takes the CPU times
// around the load, without the time to connect.
func (e *env) measure(ctx context.Context, t *target, sc *scenario, duration time.Duration) (*sample, error) {
	l := sc.load
	l.Address, l.CA, l.Status = t.address, e.ca, 200
	if l.Duration == 0 {
		l.Duration = duration
	}
	spec, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	// Whatever the proxy does, and when the user has had enough, this ends.
	ctx, cancel := context.WithTimeout(ctx, l.Duration+2*grace)
	defer cancel()
	cmd := exec.CommandContext(ctx, e.self, "load")
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
	var refused func() (float64, error)
	if t.background != nil {
		if refused, err = e.background(ctx, t, l.Duration+time.Second); err != nil {
			return nil, err
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer cmd.Wait()
	defer cancel()
	fmt.Fprintf(in, "%s\n", spec)
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || strings.TrimSpace(line) != "ready" {
		return nil, fmt.Errorf("loading %s: the generator did not start: %q, %v", t.name, line, err)
	}
	m := &sample{Memory: float64(t.proc.rss()-memory) / float64(l.Conns)}
	proxy, upstream := t.proc.cpu(), e.upstreamCPU(sc)
	fmt.Fprintln(in, "go")
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", t.name, errors.Join(ctx.Err(), err))
	}
	proxy, upstream = t.proc.cpu()-proxy, e.upstreamCPU(sc)-upstream
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
	if refused != nil {
		if m.Refused, err = refused(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// background starts the target's other clients, and returns when
// they are connected. The function waits for their end and tells their rate.
func (e *env) background(ctx context.Context, t *target, duration time.Duration) (func() (float64, error), error) {
	l := *t.background
	l.Address, l.CA, l.Duration = t.address, e.ca, duration
	spec, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, e.self, "load")
	cmd.Stdin = strings.NewReader(string(spec) + "\ngo\n")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		_ = cmd.Wait()
		return nil, fmt.Errorf("starting the background on %s: %w", t.name, err)
	}
	return func() (float64, error) {
		var r result
		err := json.NewDecoder(lines).Decode(&r)
		if err := errors.Join(err, cmd.Wait()); err != nil {
			return 0, fmt.Errorf("the background on %s: %w", t.name, err)
		}
		return float64(r.Requests) / r.Seconds, nil
	}, nil
}

// upstreamCPU is the time used behind the proxy.
func (e *env) upstreamCPU(sc *scenario) time.Duration {
	switch {
	case !sc.etcd:
		return e.null.cpu()
	case e.etcd != nil:
		return cpuOf(e.etcd.Pid())
	}
	return 0
}
