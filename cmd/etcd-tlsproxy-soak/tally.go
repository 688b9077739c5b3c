package main

import (
	"fmt"
	"sync"
	"time"
)

// mostMismatches are told in words; more are only counted.
const mostMismatches = 100

// tally counts what happened.
type tally struct {
	seed  uint64
	began time.Time

	mu         sync.Mutex
	requests   map[string]map[string]int // by kind of client and outcome
	faults     map[string]int
	mismatches []string
	wrong      int
	lost       int                      // acknowledged writes that are not in etcd
	doubled    int                      // writes that are there twice
	ghosts     int                      // writes that are there though they cannot be
	audit      int                      // lines that were read
	slowest    map[string]time.Duration // that a change took to take effect
}

func newTally(seed uint64) *tally {
	return &tally{
		seed: seed, began: time.Now(), requests: make(map[string]map[string]int), faults: make(map[string]int),
		slowest: make(map[string]time.Duration),
	}
}

func (t *tally) count(kind, outcome string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.requests[kind] == nil {
		t.requests[kind] = make(map[string]int)
	}
	t.requests[kind][outcome]++
}

func (t *tally) fault(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults[kind]++
}

func (t *tally) took(kind string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slowest[kind] = max(t.slowest[kind], d)
}

func (t *tally) audited(lines int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.audit += lines
}

// mismatch takes note of something that may not be.
func (t *tally) mismatch(who, format string, args ...any) {
	t.add(nil, who, format, args...)
}

// What may have become of a write that is wrong.
func (t *tally) lostWrite(who, format string, args ...any) { t.add(&t.lost, who, format, args...) }
func (t *tally) doubledWrite(who, format string, args ...any) {
	t.add(&t.doubled, who, format, args...)
}
func (t *tally) ghostWrite(who, format string, args ...any) { t.add(&t.ghosts, who, format, args...) }

func (t *tally) add(also *int, who, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if also != nil {
		*also++
	}
	t.wrong++
	if len(t.mismatches) < mostMismatches {
		// The time of day finds it in the proxy's log.
		at := fmt.Sprintf("seed %d, %.3f s (%s), %s: ", t.seed, time.Since(t.began).Seconds(), time.Now().Format("15:04:05.000"), who)
		t.mismatches = append(t.mismatches, at+fmt.Sprintf(format, args...))
	}
}
