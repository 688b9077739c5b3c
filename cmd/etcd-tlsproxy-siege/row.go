package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/attack"
)

// row is one line of the report: what one kind of attackers did in one protocol, and what became
// of the victims. Names of fields are those of the JSON.
type row struct {
	Name      string // as in 3/2/four
	Server    string
	Scenario  string
	Protocol  string
	Attackers string
	What      string

	Verdict string
	// Reasons are the figures that are beyond their limits, or why the row is not
	// applicable.
	Reasons []string `json:",omitempty"`
	// Notes are figures that are not judged.
	Notes []string `json:",omitempty"`
	// Incidents are what happened besides what the figures show, such as a server that ended.
	Incidents []string `json:",omitempty"`

	Victims             map[string]map[string]*figures // by phase and kind
	MemoryLimit         int64
	ServerPeak          int64 // resident memory, in bytes
	EtcdQuiet, EtcdPeak int64
	RecordsRate         float64 // bytes of audit or access log in a second
	Attack              attack.Result
	AttackersCPU        float64 // part of all processors of the machine
}

// report adds an incident, once.
func (r *row) report(format string, args ...any) {
	if what := fmt.Sprintf(format, args...); !slices.Contains(r.Incidents, what) {
		r.Incidents = append(r.Incidents, what)
	}
}

// kinds returns the kinds of victims of a row, in a fixed order.
func (r *row) kinds() (kinds []string) {
	for _, kind := range []string{kindRead, kindWrite, kindLarge, kindKnown, kindLogin} {
		for _, of := range r.Victims {
			if of[kind] != nil && !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
	}
	return kinds
}

// latencies returns the p99 of a kind in each phase, as in "3 40 4", and that of the control in
// parentheses. It is "none" if all requests failed.
func (r *row) latencies(kind string) string {
	cell := func(phase string) string {
		f := r.Victims[phase][kind]
		switch {
		case f == nil || f.Requests == 0:
			return "-"
		case f.Requests == f.Failed:
			return "none"
		case f.P99 < 10*time.Millisecond:
			return fmt.Sprintf("%.1f", float64(f.P99)/float64(time.Millisecond))
		}
		return fmt.Sprint(f.P99.Milliseconds())
	}
	cells := []string{cell(quiet), cell(under), cell(after)}
	if len(r.Victims[control]) > 0 {
		cells = append(cells, "("+cell(control)+")")
	}
	return strings.Join(cells, " ")
}

// failures returns how many requests of victims failed, of how many.
func (r *row) failures() string {
	var failed, all int64
	for _, kinds := range r.Victims {
		for _, f := range kinds {
			failed, all = failed+f.Failed, all+f.Requests
		}
	}
	return fmt.Sprintf("%d/%d", failed, all)
}

// layout is the format of a line of the table.
const layout = "%-20s %-8s %10s  %-16s %-16s %-16s %7s %7s %6s %4s\n"

// printHead writes the head of the table.
func printHead(out io.Writer) {
	fmt.Fprintf(out, layout, "", "", "failed", "read p99 ms", "write p99 ms", "login p99 ms", "proxy", "etcd", "log", "CPU")
	fmt.Fprintf(out, layout, "attack", "verdict", "requests", "quiet/under/after", "", "", "MiB", "+MiB", "MB/s", "%")
}

// print writes the row, and below it why it failed or does not apply.
func (r *row) print(out io.Writer) {
	name := r.Name
	if r.Server != ownServer {
		name += " " + r.Server
	}
	if r.Verdict == notApplicable {
		fmt.Fprintf(out, "%-20s n/a      (%s)\n", name, strings.Join(r.Reasons, "; "))
		return
	}
	login, write := kindLogin, kindWrite
	if r.Victims[quiet][kindKnown] != nil {
		write = kindKnown
	}
	fmt.Fprintf(out, layout, name, r.Verdict, r.failures(), r.latencies(kindRead), r.latencies(write), r.latencies(login),
		fmt.Sprint(r.ServerPeak>>20), fmt.Sprint(max(0, r.EtcdPeak-r.EtcdQuiet)>>20), fmt.Sprintf("%.2f", r.RecordsRate/1e6),
		fmt.Sprintf("%.0f", 100*r.AttackersCPU))
	for _, line := range append(slices.Clone(r.Notes), r.Reasons...) {
		fmt.Fprintf(out, "    %s\n", line)
	}
}

// summary writes how many rows have which verdict, and returns how many failed.
func summary(out io.Writer, rows []*row) (failures int) {
	count := make(map[string]int)
	for _, r := range rows {
		count[r.Verdict]++
	}
	fmt.Fprintf(out, "%d rows: %d passed, %d failed, %d not applicable\n", len(rows), count[passed], count[failed], count[notApplicable])
	return count[failed]
}
