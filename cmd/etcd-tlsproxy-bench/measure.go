package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// sample is the measurement of one contender in one round.
type sample struct {
	Rate        float64 // requests a second
	CPU         float64 // of the proxy, in microseconds a request
	UpstreamCPU float64 // of the upstream, likewise; 0 if it is not a process of its own
	P50         float64 // latencies in microseconds
	P99         float64
	P999        float64
	Memory      float64 // bytes of an idle connection
	Refused     float64 `json:",omitempty"` // background requests answered, a second
	Errors      int64
	FirstError  string `json:",omitempty"`

	// Busy is the part of a core that the upstream uses, in percent; 0 if it is not a process of its own.
	Busy float64 `json:",omitempty"`

	// Watch, Outage and Start replace all of the above in scenarios of these kinds.
	Watch  *watchSample  `json:",omitempty"`
	Outage *outageSample `json:",omitempty"`
	Start  *startSample  `json:",omitempty"`
}

// generator is a child process that generates load. Its CPU time and memory are not counted
// as the proxy's.
type generator struct {
	cmd   *exec.Cmd
	in    io.Writer
	lines *bufio.Reader
}

// startGenerator runs a hidden command of this program, sends it its load, and returns
// when it is ready. The process ends with ctx; the caller cancels ctx and waits.
func (e *env) startGenerator(ctx context.Context, command string, load any) (*generator, error) {
	spec, err := json.Marshal(load)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, e.self, command)
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
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g := &generator{cmd, in, bufio.NewReader(out)}
	fmt.Fprintf(in, "%s\n", spec)
	if line, err := g.lines.ReadString('\n'); err != nil || strings.TrimSpace(line) != "ready" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("starting the generator: got %q, want ready: %w", line, errors.Join(ctx.Err(), err))
	}
	return g, nil
}

// release starts the load.
func (g *generator) release() { fmt.Fprintln(g.in, "go") }

// result waits for the end of the load and decodes what was measured.
func (g *generator) result(result any) error {
	line, err := g.lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading the result of the generator: %w", err)
	}
	return json.Unmarshal(line, result)
}

// stop ends the generator, whatever it is doing.
func (g *generator) stop() {
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
}

// measure loads a target, and reads CPU times before and after the load, so that the cost
// of connecting is not included.
func (e *env) measure(ctx context.Context, t *target, sc *scenario, duration time.Duration) (m *sample, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("loading %s: %w", t.name, errors.Join(err, ctx.Err()))
		}
	}()
	l := sc.load
	l.Address, l.CA, l.Status = t.address, e.ca, 200
	if l.Duration == 0 {
		l.Duration = duration
	}
	// A proxy that hangs must not hang the benchmark.
	ctx, cancel := context.WithTimeout(ctx, l.Duration+2*grace)
	defer cancel()
	memory := t.proc.rss()
	var background *generator
	if t.background != nil {
		other := *t.background
		other.Address, other.CA, other.Duration = t.address, e.ca, l.Duration+time.Second
		if background, err = e.startGenerator(ctx, "load", other); err != nil {
			return nil, fmt.Errorf("background load: %w", err)
		}
		defer background.stop()
		background.release()
	}
	g, err := e.startGenerator(ctx, "load", l)
	if err != nil {
		return nil, err
	}
	defer g.stop()
	m = &sample{Memory: float64(t.proc.rss()-memory) / float64(l.Conns)}
	proxy, upstream := t.proc.cpu(), e.upstreamCPU(sc, t)
	g.release()
	profile := e.profile(ctx, t, sc, l.Duration)
	var r result
	if err := g.result(&r); err != nil {
		return nil, err
	}
	if err := <-profile; err != nil {
		return nil, fmt.Errorf("profiling: %w", err)
	}
	proxy, upstream = t.proc.cpu()-proxy, e.upstreamCPU(sc, t)-upstream
	m.Errors, m.FirstError = r.Errors, r.FirstError
	m.Busy = 100 * upstream.Seconds() / r.Seconds
	if r.Requests > 0 {
		n := float64(r.Requests)
		m.Rate = n / r.Seconds
		m.CPU = float64(proxy.Microseconds()) / n
		m.UpstreamCPU = float64(upstream.Microseconds()) / n
		m.P50, m.P99, m.P999 = float64(r.P50), float64(r.P99), float64(r.P999)
	}
	if background != nil {
		var other result
		if err := background.result(&other); err != nil {
			return nil, fmt.Errorf("background load: %w", err)
		}
		m.Refused = float64(other.Requests) / other.Seconds
	}
	return m, nil
}

// profile writes a CPU profile of a target that is loaded for a while, if one is wanted. The result is
// sent when it is written.
func (e *env) profile(ctx context.Context, t *target, sc *scenario, length time.Duration) <-chan error {
	done := make(chan error, 1)
	if t.admin == "" {
		done <- nil
		return done
	}
	go func() {
		url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", t.admin, max(1, int(length.Seconds())))
		done <- download(ctx, url, filepath.Join(e.profiles, sc.name+"-"+t.name+".pprof"))
	}()
	return done
}

// download writes the body of a response to a file.
func download(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("got %s from %s, want 200", resp.Status, url)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// upstreamCPU returns the CPU time that the upstream of a target has used.
func (e *env) upstreamCPU(sc *scenario, t *target) time.Duration {
	switch {
	case t.v3:
		return cpuOf(e.store.process.Pid())
	case !sc.etcd:
		return e.null.cpu()
	case e.etcd != nil:
		return cpuOf(e.etcd.Pid())
	}
	return 0
}
