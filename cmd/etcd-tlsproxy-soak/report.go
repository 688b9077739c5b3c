package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// report is what a run has found.
type report struct {
	Seed        uint64
	Etcd        string
	Seconds     float64
	Interrupted bool // by Ctrl-C
	Requests    map[string]map[string]int
	Refusals    int
	Unknown     int // answers of 502, 503 and 504, and those that broke off
	Faults      map[string]int
	Slowest     map[string]float64 // seconds until a change took effect
	AuditLines  int
	Start, End  figures

	Wrong                 int
	Lost, Doubled, Ghosts int
	Mismatches            []string
}

func (s *soak) newReport(start figures, interrupted bool) *report {
	return &report{Seed: s.seed, Seconds: time.Since(s.tally.began).Seconds(), Interrupted: interrupted, Start: start}
}

// fill takes over what was counted, when nothing counts any more.
func (r *report) fill(t *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Requests, r.Faults, r.AuditLines = t.requests, t.faults, t.audit
	r.Wrong, r.Lost, r.Doubled, r.Ghosts, r.Mismatches = t.wrong, t.lost, t.doubled, t.ghosts, t.mismatches
	r.Slowest = make(map[string]float64)
	for what, took := range t.slowest {
		r.Slowest[what] = took.Seconds()
	}
	for _, outcomes := range r.Requests {
		for outcome, n := range outcomes {
			switch outcome {
			case "400", "401", "403", "405", "429":
				r.Refusals += n
			case "502", "503", "504", "broken off", "failed in an outage":
				r.Unknown += n
			}
		}
	}
}

func (r *report) print(out io.Writer) {
	all := 0
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nclients\trequests\toutcomes")
	for _, kind := range slices.Sorted(maps.Keys(r.Requests)) {
		outcomes, sum := "", 0
		for _, outcome := range slices.Sorted(maps.Keys(r.Requests[kind])) {
			n := r.Requests[kind][outcome]
			outcomes += fmt.Sprintf("%s: %d  ", outcome, n)
			sum += n
		}
		all += sum
		fmt.Fprintf(w, "%s\t%d\t%s\n", kind, sum, outcomes)
	}
	fmt.Fprintf(w, "all\t%d\trefused: %d  not answered by etcd: %d\n", all, r.Refusals, r.Unknown)
	fmt.Fprintln(w, "\nfault\ttimes\t")
	for _, kind := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(w, "%s\t%d\t\n", kind, r.Faults[kind])
	}
	fmt.Fprintln(w, "\nawaited\tat most, s\t")
	for _, what := range slices.Sorted(maps.Keys(r.Slowest)) {
		fmt.Fprintf(w, "%s\t%.2f\t\n", what, r.Slowest[what])
	}
	fmt.Fprintln(w, "\nthe proxy's\tat first\tat the end\t")
	fmt.Fprintf(w, "goroutines\t%d\t%d\t\n", r.Start.Goroutines, r.End.Goroutines)
	fmt.Fprintf(w, "descriptors\t%d\t%d\t(idle connections to etcd left out)\n", r.Start.Descriptors, r.End.Descriptors)
	fmt.Fprintf(w, "memory, MiB\t%d\t%d\t\n", r.Start.Memory>>20, r.End.Memory>>20)
	_ = w.Flush()
	ended := ""
	if r.Interrupted {
		ended = ", interrupted"
	}
	fmt.Fprintf(out, "\nseed %d, %s, %.0f s%s; %d lines of the audit log read\n", r.Seed, r.Etcd, r.Seconds, ended, r.AuditLines)
	fmt.Fprintf(out, "mismatches: %d; of these, writes lost: %d, doubled: %d, from nowhere: %d\n", r.Wrong, r.Lost, r.Doubled, r.Ghosts)
	for _, line := range r.Mismatches {
		fmt.Fprintln(out, "  "+line)
	}
	if more := r.Wrong - len(r.Mismatches); more > 0 {
		fmt.Fprintf(out, "  and %d more\n", more)
	}
}

func (r *report) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// verdict is an error if anything is wrong.
func (r *report) verdict() error {
	if r.Wrong > 0 {
		return fmt.Errorf("%d mismatches; --seed %d makes the same choices again", r.Wrong, r.Seed)
	}
	return nil
}
