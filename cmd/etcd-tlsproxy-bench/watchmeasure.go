package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// watchSample is what watching cost, and how fast it was.
type watchSample struct {
	Last        float64 // microseconds until the last watcher heard, the median of the events
	P50         float64 // of all watchers
	Seconds     float64 // for all events, with reading and watching again
	Memory      float64 // bytes of proxy and etcd together, while all watch
	Connections float64 // of etcd, while all watch
	CPU         float64 // of the proxy, in milliseconds, for all events
	UpstreamCPU float64 // of etcd
}

// maxWatchRounds bounds the rounds: each starts everything anew, because memory
// that was used once stays with its process.
const maxWatchRounds = 3

// compareWatches measures the proxies of a scenario in turn, each before an etcd of
// its own.
func (s *settings) compareWatches(ctx context.Context, sc *scenario, proxy string) (*comparison, error) {
	o := &comparison{Name: sc.name, What: sc.what, Figure: sc.figure, Samples: make(map[string][]*sample)}
	for _, v := range sc.contenders() {
		switch reason := sc.except[v.name]; {
		case !s.selected(v.name):
		case !installed(v.name):
			o.Notes = append(o.Notes, v.name+" is left out: it is not installed")
		case reason != "":
			o.Notes = append(o.Notes, v.name+" is left out: "+reason)
		default:
			o.Order = append(o.Order, v.name)
		}
	}
	for range min(s.rounds, maxWatchRounds) {
		for _, name := range o.Order {
			m, err := measureWatches(ctx, name, proxy, sc.watch)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			o.Samples[name] = append(o.Samples[name], &sample{Watch: m})
		}
	}
	return o, nil
}

func measureWatches(ctx context.Context, name, proxy string, load *watchLoad) (*watchSample, error) {
	env, err := newEnv(proxy)
	if err != nil {
		return nil, err
	}
	defer env.close()
	if env.etcd == nil {
		return nil, errors.New("etcd is not installed; its memory could not be told from this program's")
	}
	t, err := env.startTarget(variant{name: name, watches: true}, env.etcdAddr)
	if err != nil {
		return nil, err
	}
	defer t.proc.stop()
	l := *load
	l.Address, l.Etcd, l.CA = t.address, env.etcdAddr, env.ca
	spec, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, env.self, "watch-load")
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
	defer cmd.Wait()
	defer cancel()
	before := openFiles(env.etcd.Pid())
	fmt.Fprintf(in, "%s\n", spec)
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || strings.TrimSpace(line) != "ready" {
		return nil, fmt.Errorf("the generator did not start: %q, %w", line, err)
	}
	m := &watchSample{
		Memory:      float64(t.proc.rss() + rssOf(env.etcd.Pid())),
		Connections: float64(openFiles(env.etcd.Pid()) - before),
	}
	own, etcd := t.proc.cpu(), cpuOf(env.etcd.Pid())
	fmt.Fprintln(in, "go")
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	m.CPU = float64((t.proc.cpu() - own).Milliseconds())
	m.UpstreamCPU = float64((cpuOf(env.etcd.Pid()) - etcd).Milliseconds())
	var r watchResult
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, err
	}
	slices.Sort(r.Last)
	m.Last, m.P50, m.Seconds = float64(r.Last[len(r.Last)/2]), float64(r.P50), r.Seconds
	return m, nil
}

// openFiles is how many descriptors a process has.
func openFiles(pid int) int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0
	}
	return len(entries)
}

// printWatches writes the table of a scenario of watches.
func (o *comparison) printWatches(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tlast ms\tp50 ms\tall events s\tproxy+etcd MB\tetcd connections\tproxy CPU ms\tetcd CPU ms\tratio\t")
	for _, name := range o.Order {
		m := func(figure func(*watchSample) float64) float64 {
			return o.median(name, func(s *sample) float64 { return figure(s.Watch) })
		}
		ratio := "-"
		if name != "ours" {
			ratio = fmt.Sprintf("%.2f", o.ratio(name))
		}
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t%s\t\n", name,
			m(func(s *watchSample) float64 { return s.Last })/1000, m(func(s *watchSample) float64 { return s.P50 })/1000,
			m(func(s *watchSample) float64 { return s.Seconds }), m(func(s *watchSample) float64 { return s.Memory })/1e6,
			m(func(s *watchSample) float64 { return s.Connections }), m(func(s *watchSample) float64 { return s.CPU }),
			m(func(s *watchSample) float64 { return s.UpstreamCPU }), ratio)
	}
	_ = w.Flush()
	fmt.Fprintf(out, "  (the ratio is of the time %s: ours to the other's)\n", map[string]string{"last": "until the last watcher has heard", "total": "for all events"}[o.Figure])
	for _, note := range o.Notes {
		fmt.Fprintf(out, "  (%s)\n", note)
	}
}
