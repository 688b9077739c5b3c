// Package check records the outcome of the clients' writes, and finds contradictions.
//
// History compares the events of a watched folder as writers, watchers and readers report
// them. InOrderKeys, Counters and Versions hold what etcd must contain. Outages are the
// times in which requests may fail. Each contradiction is a mismatch; Findings collects
// them.
package check

import (
	"fmt"
	"sync"
	"time"
)

// Content is the content of etcd, as it is read without the proxy.
type Content interface {
	// Values returns the values of all keys below a folder, by key.
	Values(folder string) (map[string]string, error)
	// Everything returns everything that clients can change, by its place.
	Everything() (map[string]string, error)
}

// maxMismatches bounds the mismatches that are described. Further ones are counted.
const maxMismatches = 100

// Findings collects what happened during a run.
type Findings struct {
	seed  uint64
	start time.Time

	mu     sync.Mutex
	totals Totals
}

// Totals is the content of Findings.
type Totals struct {
	Requests map[string]map[string]int // by kind of client and outcome
	Faults   map[string]int            // by kind
	// Slowest is the longest time that each kind of change took to take effect.
	Slowest    map[string]time.Duration
	AuditLines int
	Mismatches []string
	Wrong      int // the number of mismatches, which includes the following
	Lost       int // acknowledged writes that are not in etcd
	Doubled    int // writes that etcd carried out twice
	Ghosts     int // writes that are in etcd and must not be
}

// NewFindings starts a run. The seed is part of each mismatch.
func NewFindings(seed uint64) *Findings {
	return &Findings{seed: seed, start: time.Now(), totals: Totals{
		Requests: make(map[string]map[string]int), Faults: make(map[string]int), Slowest: make(map[string]time.Duration),
	}}
}

// Elapsed returns how long the run has lasted.
func (f *Findings) Elapsed() time.Duration { return time.Since(f.start) }

// Totals returns what was found. The maps are not copied: call it when the run is over.
func (f *Findings) Totals() Totals {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.totals
}

// CountRequest counts a request by its outcome.
func (f *Findings) CountRequest(kind, outcome string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.totals.Requests[kind] == nil {
		f.totals.Requests[kind] = make(map[string]int)
	}
	f.totals.Requests[kind][outcome]++
}

// CountFault counts a fault or a change of files.
func (f *Findings) CountFault(kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.totals.Faults[kind]++
}

// RecordDelay records how long a change took to take effect.
func (f *Findings) RecordDelay(what string, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.totals.Slowest[what] = max(f.totals.Slowest[what], d)
}

// CountAuditLines counts lines of the audit log that were checked.
func (f *Findings) CountAuditLines(lines int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.totals.AuditLines += lines
}

// Mismatch reports something that must not happen. Who is the client that detected it.
func (f *Findings) Mismatch(who, format string, args ...any) {
	f.report(nil, who, format, args...)
}

// LostWrite reports an acknowledged write that is not in etcd.
func (f *Findings) LostWrite(who, format string, args ...any) {
	f.report(&f.totals.Lost, who, format, args...)
}

// DoubledWrite reports a write that etcd carried out twice.
func (f *Findings) DoubledWrite(who, format string, args ...any) {
	f.report(&f.totals.Doubled, who, format, args...)
}

// GhostWrite reports a write that must not be in etcd.
func (f *Findings) GhostWrite(who, format string, args ...any) {
	f.report(&f.totals.Ghosts, who, format, args...)
}

// report describes and counts a mismatch, also in counter unless it is nil.
func (f *Findings) report(counter *int, who, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if counter != nil {
		*counter++
	}
	f.totals.Wrong++
	if len(f.totals.Mismatches) < maxMismatches {
		// The time of day leads to the lines of the proxy's log.
		at := fmt.Sprintf("seed %d, %.3f s (%s), %s: ", f.seed, f.Elapsed().Seconds(), time.Now().Format("15:04:05.000"), who)
		f.totals.Mismatches = append(f.totals.Mismatches, at+fmt.Sprintf(format, args...))
	}
}
