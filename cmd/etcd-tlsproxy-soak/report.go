package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/check"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/env"
)

// report is the result of a run.
type report struct {
	Seed        uint64
	Etcd, API   string
	Seconds     float64
	Interrupted bool // by Ctrl-C
	Requests    map[string]map[string]int
	Refusals    int
	Unknown     int // answers of 502, 503 and 504, and broken ones
	// UnknownOutcomes are the writes among them that the proxy knew nothing about.
	UnknownOutcomes int
	Faults          map[string]int
	Slowest         map[string]float64 // seconds until a change took effect
	AuditLines      int
	Start, End      env.Usage
	// StoreHalf and StoreEnd are the sizes of a v3 store half-way and at the end.
	StoreHalf, StoreEnd env.Size
	// Shadow is what was compared; nil without a shadow.
	Shadow *env.Shadow

	Wrong                 int
	Lost, Doubled, Ghosts int
	Mismatches            []string
}

func (s *soak) newReport(start env.Usage, interrupted bool) *report {
	return &report{Seed: s.seed, Seconds: s.findings.Elapsed().Seconds(), Interrupted: interrupted, Start: start}
}

// fill takes over what was found, when the run is over.
func (r *report) fill(t check.Totals) {
	r.Requests, r.Faults, r.AuditLines = t.Requests, t.Faults, t.AuditLines
	r.Wrong, r.Lost, r.Doubled, r.Ghosts, r.Mismatches = t.Wrong, t.Lost, t.Doubled, t.Ghosts, t.Mismatches
	r.Slowest = make(map[string]float64)
	for what, took := range t.Slowest {
		r.Slowest[what] = took.Seconds()
	}
	for _, outcomes := range r.Requests {
		for outcome, n := range outcomes {
			switch outcome {
			case "400", "401", "403", "405", "429":
				r.Refusals += n
			case "502", "503", "504", "broken off", "failed in an outage":
				r.Unknown += n
			case unknownOutcome:
				r.Unknown += n
				r.UnknownOutcomes += n
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
	fmt.Fprintf(w, "all\t%d\trefused: %d  not answered by etcd: %d, of which writes of unknown outcome: %d\n", all, r.Refusals, r.Unknown, r.UnknownOutcomes)
	fmt.Fprintln(w, "\nfault or change\ttimes\t")
	for _, kind := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(w, "%s\t%d\t\n", kind, r.Faults[kind])
	}
	fmt.Fprintln(w, "\nwaited for\tat most, s\t")
	for _, what := range slices.Sorted(maps.Keys(r.Slowest)) {
		fmt.Fprintf(w, "%s\t%.2f\t\n", what, r.Slowest[what])
	}
	fmt.Fprintln(w, "\nthe proxy's\tat the start\tat the end\t")
	fmt.Fprintf(w, "goroutines\t%d\t%d\t\n", r.Start.Goroutines, r.End.Goroutines)
	fmt.Fprintf(w, "descriptors\t%d\t%d\t(without idle connections to etcd)\n", r.Start.Descriptors, r.End.Descriptors)
	fmt.Fprintf(w, "memory, MiB\t%d\t%d\t\n", r.Start.Memory>>20, r.End.Memory>>20)
	if r.StoreEnd.File > 0 {
		fmt.Fprintln(w, "\nthe store's\thalf-way\tat the end\t")
		fmt.Fprintf(w, "file, MiB\t%d\t%d\t\n", r.StoreHalf.File>>20, r.StoreEnd.File>>20)
		fmt.Fprintf(w, "used, MiB\t%d\t%d\t(from half-way on the proxies alone compact)\n", r.StoreHalf.Used>>20, r.StoreEnd.Used>>20)
	}
	if r.Shadow != nil {
		fmt.Fprintf(w, "\ncompared with the shadow\t%v\tskipped %v, different %v\n", r.Shadow.Compared, r.Shadow.Skipped, r.Shadow.Differences)
	}
	_ = w.Flush() // to a terminal; the report file checks its errors
	interrupted := ""
	if r.Interrupted {
		interrupted = ", interrupted"
	}
	fmt.Fprintf(out, "\nseed %d, %s, API %s, %.0f s%s; %d lines of the audit log checked\n", r.Seed, r.Etcd, r.API, r.Seconds, interrupted, r.AuditLines)
	fmt.Fprintf(out, "mismatches: %d; of these, writes lost: %d, doubled: %d, in etcd without reason: %d\n", r.Wrong, r.Lost, r.Doubled, r.Ghosts)
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

// verdict returns an error if there are mismatches.
func (r *report) verdict() error {
	if r.Wrong > 0 {
		return fmt.Errorf("%d mismatches; --seed %d makes the same choices again", r.Wrong, r.Seed)
	}
	return nil
}
