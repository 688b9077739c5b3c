package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// comparison is all samples of a scenario, by proxy.
type comparison struct {
	Name    string
	What    string
	Figure  string
	Order   []string // of those that were measured, ours first
	Samples map[string][]*sample
	Notes   []string `json:",omitempty"`
}

func (s *settings) run(ctx context.Context, out io.Writer) error {
	if s.quick {
		s.rounds, s.duration = 1, 2*time.Second
	}
	if err := s.check(); err != nil {
		return err
	}
	env, err := newEnv(s.proxy)
	if err != nil {
		return err
	}
	env.keep = s.keep
	defer env.close()
	if s.keep {
		fmt.Fprintf(out, "configurations and logs stay in %s\n", env.dir)
	}
	var comparisons []*comparison
	for _, sc := range scenarios() {
		if len(s.scenarios) > 0 && !slices.Contains(s.scenarios, sc.name) {
			continue
		}
		compare := func() (*comparison, error) { return s.compare(ctx, env, &sc) }
		if sc.watch != nil && s.quick {
			sc.watch.Events = min(sc.watch.Events, 10)
		}
		if sc.watch != nil {
			compare = func() (*comparison, error) { return s.compareWatches(ctx, &sc, env.proxy) }
		}
		if sc.outage {
			compare = func() (*comparison, error) { return s.compareOutages(ctx, &sc, env.proxy) }
		}
		o, err := compare()
		if err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		comparisons = append(comparisons, o)
		o.print(out)
	}
	if s.json != "" {
		data, err := json.MarshalIndent(comparisons, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.json, data, 0o644); err != nil {
			return err
		}
	}
	if s.html != "" {
		return writeHTML(s.html, comparisons)
	}
	return nil
}

// check refuses what would measure nothing and look like success.
func (s *settings) check() error {
	if s.rounds < 1 || s.duration <= 0 {
		return errors.New("reading the flags: --rounds and --duration must be above 0")
	}
	var known []string
	for _, sc := range scenarios() {
		known = append(known, sc.name)
	}
	for _, name := range s.scenarios {
		if !slices.Contains(known, name) {
			return fmt.Errorf("reading --scenarios: no scenario %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	for _, name := range s.only {
		if !slices.Contains(proxies, name) {
			return fmt.Errorf("reading --only: no proxy %q; there are %s", name, strings.Join(proxies, ", "))
		}
	}
	return nil
}

// selected reports whether --only lets a contender take part; variants go with ours.
func (s *settings) selected(name string) bool {
	if !slices.Contains(proxies, name) {
		name = "ours"
	}
	return len(s.only) == 0 || slices.Contains(s.only, name)
}

// compare measures the proxies of a scenario in turn, so that what the machine
// does besides hits all of them.
func (s *settings) compare(ctx context.Context, env *env, sc *scenario) (*comparison, error) {
	o := &comparison{Name: sc.name, What: sc.what, Figure: sc.figure, Samples: make(map[string][]*sample)}
	upstream := env.nullAddr
	if sc.etcd {
		upstream = env.etcdAddr
	}
	var targets []*target
	defer func() {
		for _, t := range targets {
			t.proc.stop()
		}
	}()
	for _, v := range sc.contenders() {
		name := v.name
		reason := sc.except[name]
		if !installed(name) {
			reason = "it is not installed"
		}
		if !s.selected(name) {
			continue
		}
		if reason != "" {
			o.Notes = append(o.Notes, name+" is left out: "+reason)
			continue
		}
		t, err := env.startTarget(v, upstream)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
		o.Order = append(o.Order, name)
	}
	rounds := s.rounds
	if sc.load.Idle {
		rounds = 1 // a second one would find the memory of the first
	}
	for range rounds {
		for _, t := range targets {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			m, err := env.measure(ctx, t, sc, s.duration)
			if err != nil {
				return nil, err
			}
			o.Samples[t.name] = append(o.Samples[t.name], m)
		}
	}
	return o, nil
}

// median of one figure over the rounds; 0 if there is none.
func (o *comparison) median(name string, figure func(*sample) float64) float64 {
	samples := o.Samples[name]
	if len(samples) == 0 {
		return 0
	}
	values := make([]float64, len(samples))
	for i, m := range samples {
		values[i] = figure(m)
	}
	slices.Sort(values)
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}

// figures are those whose ratio can be the point of a scenario.
var figures = map[string]func(*sample) float64{
	"cpu":    func(m *sample) float64 { return m.CPU },
	"rate":   func(m *sample) float64 { return m.Rate },
	"p99":    func(m *sample) float64 { return m.P99 },
	"memory": func(m *sample) float64 { return m.Memory },
	"last":   func(m *sample) float64 { return m.Watch.Last },
	"total":  func(m *sample) float64 { return m.Watch.Seconds },
	"back":   func(m *sample) float64 { return m.Outage.Back },
}

// ratio is ours to another's, or a variant's to ours, which is the first; 0 if one
// is missing.
func (o *comparison) ratio(other string) float64 {
	ours, theirs := o.median("ours", figures[o.Figure]), o.median(other, figures[o.Figure])
	if ours == 0 || theirs == 0 {
		return 0
	}
	if !slices.Contains(proxies, other) {
		return theirs / ours
	}
	return ours / theirs
}
