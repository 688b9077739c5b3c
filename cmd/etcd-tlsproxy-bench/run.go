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

	"etcd-tlsproxy/cmd/internal/usage"
	"etcd-tlsproxy/proxy/proxytest"
)

// run measures the scenarios one after the other and writes the report.
func (s *settings) run(ctx context.Context, out io.Writer) error {
	if s.quick {
		s.rounds, s.duration = 1, 2*time.Second
	}
	if err := s.check(); err != nil {
		return err
	}
	e, err := newEnv()
	if err != nil {
		return err
	}
	e.keep, e.profiles = s.keep, s.profiles
	defer e.close()
	if s.profiles != "" {
		if err := os.MkdirAll(s.profiles, 0o755); err != nil {
			return err
		}
	}
	if s.keep {
		fmt.Fprintf(out, "configurations and logs are kept in %s\n", e.dir)
	}
	if s.builds[0].path == "" {
		if s.builds[0].path, err = proxytest.BuildProxy("", e.dir); err != nil {
			return err
		}
	}
	var comparisons []*comparison
	for _, sc := range scenarios() {
		if len(s.scenarios) > 0 && !slices.Contains(s.scenarios, sc.name) {
			continue
		}
		c, err := s.compare(ctx, e, &sc)
		if err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		comparisons = append(comparisons, c)
		c.print(out)
	}
	if len(s.builds) > 1 {
		printSummary(out, comparisons)
	}
	return s.writeFiles(comparisons)
}

// writeFiles writes the reports for --json and --html.
func (s *settings) writeFiles(comparisons []*comparison) error {
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

// check refuses flags that would measure nothing and look like success.
func (s *settings) check() (err error) {
	if s.rounds < 1 || s.duration <= 0 {
		return usage.Mark(errors.New("reading the flags: --rounds and --duration must be above 0"))
	}
	if s.events < 0 {
		return usage.Mark(errors.New("reading --events: the number must not be below 0"))
	}
	var known []string
	for _, sc := range scenarios() {
		known = append(known, sc.name)
	}
	for _, name := range s.scenarios {
		if !slices.Contains(known, name) {
			return usage.Mark(fmt.Errorf("reading --scenarios: %q is not a scenario; want one of %s", name, strings.Join(known, ", ")))
		}
	}
	for _, name := range s.only {
		if !slices.Contains(proxies, name) {
			return usage.Mark(fmt.Errorf("reading --only: %q is not a proxy; want one of %s", name, strings.Join(proxies, ", ")))
		}
	}
	if s.builds, err = parseBuilds(s.proxy); err != nil {
		return err
	}
	if len(s.builds) > 1 && len(s.only) > 0 {
		return usage.Mark(errors.New("reading --only: several --proxy are compared only with each other; leave --only out"))
	}
	return nil
}

// compare measures the contenders of a scenario.
func (s *settings) compare(ctx context.Context, e *env, sc *scenario) (*comparison, error) {
	switch {
	case sc.watch != nil:
		return s.compareWatches(ctx, sc)
	case sc.outage:
		return s.compareOutages(ctx, sc)
	case sc.start:
		return s.compareStarts(ctx, e, sc)
	}
	return s.compareLoad(ctx, e, sc)
}

// compareLoad measures the contenders in turn, round by round, so that disturbances of
// the machine affect all of them.
func (s *settings) compareLoad(ctx context.Context, e *env, sc *scenario) (*comparison, error) {
	c := newComparison(sc, s.builds)
	upstream := e.nullAddr
	if sc.etcd {
		upstream = e.etcdAddr
	}
	list := s.selectContenders(sc, c)
	if sc.trees {
		if err := e.addTrees(); err != nil {
			return nil, err
		}
	}
	targets, err := e.startTargets(list, upstream)
	defer stopTargets(targets)
	if err != nil {
		return nil, err
	}
	rounds := s.rounds
	if sc.load.Idle {
		rounds = 1 // a second round would find the memory that the first one left
	}
	for round := range rounds {
		for _, t := range inRound(round, targets) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			m, err := e.measure(ctx, t, sc, s.duration)
			if err != nil {
				return nil, err
			}
			c.Samples[t.name] = append(c.Samples[t.name], m)
		}
	}
	return c, nil
}
