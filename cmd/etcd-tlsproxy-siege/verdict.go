package main

import (
	"fmt"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/site"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/victim"
)

// What must hold for victims while others are attacked, and right after it. No request may
// fail. A latency is judged by its 99th percentile, and may grow to a multiple of the quiet
// one, or to an absolute value if that is greater.
const (
	// latencyFactor is about reads and writes: attackers who take their turns halve what is
	// left for others.
	latencyFactor = 2
	// latencyAllowed is what a client does not notice. Latencies of quiet machines are
	// smaller, and their multiples would be noise.
	latencyAllowed = 50 * time.Millisecond
	// floodAllowed is for floods of handshakes and refusals, which cost processor time that
	// no admission can save entirely.
	floodAllowed = 200 * time.Millisecond
	// carryAllowed is for attacks whose values of megabytes etcd itself must carry.
	carryAllowed = 500 * time.Millisecond
	// loginFactor and loginAllowed are about logins with a password that the proxy has not
	// verified before. Hashing is slow on purpose, and few hashes run at a time.
	loginFactor  = 3
	loginAllowed = time.Second
	// controlFactor is about runs with --control: a latency that is not much worse than while
	// another proxy is attacked is the machine's, and not the proxy's.
	controlFactor = 1.25
)

// What an attack may cost.
const (
	// memoryFactor is the multiple of limits.memory that the proxy may reach. Go collects
	// its garbage with some delay, and the text of the program counts too.
	memoryFactor = 1.25
	// etcdAllowed is how much etcd may grow beyond its quiet size. Its machine must have
	// that much to spare.
	etcdAllowed = 1 << 30
	// recordsAllowed is the bytes of the audit log in a second, which a disk and a collector of
	// logs can take for days.
	recordsAllowed = 2_000_000
)

// Verdicts of a row.
const (
	passed        = "passed"
	failed        = "failed"
	notApplicable = "not applicable"
)

// Phases of a row.
const (
	quiet    = "quiet"
	control  = "control"  // a second proxy is attacked; the victims use the first
	between  = "between"  // the second proxy has just ended; this is not judged
	arriving = "arriving" // the attackers are not in full effect yet
	under    = "under"
	after    = "after"
)

// judge compares the figures of a row with what must hold, and returns each figure beyond its
// limit.
func (r *row) judge(allowed time.Duration) (reasons []string) {
	complain := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	for _, phase := range []string{quiet, arriving, under, after} {
		for _, kind := range r.kinds() {
			if f := r.Victims[phase][kind]; f != nil && f.Failed > 0 {
				complain("%s: %d of %d %ss failed (%s)", phase, f.Failed, f.Requests, kind, f.FirstError)
			}
		}
	}
	if allowed > 0 {
		reasons = append(reasons, r.judgeLatencies(allowed)...)
	}
	if limit := int64(memoryFactor * float64(r.MemoryLimit)); r.MemoryLimit > 0 && r.ServerPeak > limit {
		complain("the server's memory reached %s, limit %s", mib(r.ServerPeak), mib(limit))
	}
	if grown := r.EtcdPeak - r.EtcdQuiet; grown > etcdAllowed {
		complain("etcd's memory grew by %s, limit %s", mib(grown), mib(etcdAllowed))
	}
	if r.RecordsRate > recordsAllowed {
		complain("the log grew by %.1f MB a second, limit %.1f", r.RecordsRate/1e6, recordsAllowed/1e6)
	}
	if r.Attack.Opened == 0 {
		complain("nothing was tested: no attacker could connect (%s)", r.Attack.RefusedWhat)
	}
	if r.Attack.Wrong > 0 {
		complain("%d times: %s", r.Attack.Wrong, r.Attack.WrongWhat)
	}
	return reasons
}

func (r *row) judgeLatencies(allowed time.Duration) (reasons []string) {
	for _, phase := range []string{under, after} {
		for _, kind := range r.kinds() {
			f, before := r.Victims[phase][kind], r.Victims[quiet][kind]
			if f == nil || before == nil {
				continue
			}
			limit := max(latencyFactor*before.P99, allowed)
			if kind == kindLogin {
				limit = max(loginFactor*before.P99, allowed, loginAllowed)
			}
			if other := r.Victims[control][kind]; other != nil {
				limit = max(limit, time.Duration(controlFactor*float64(other.P99)))
			}
			if f.P99 > limit {
				reasons = append(reasons, fmt.Sprintf("%s: the p99 of %ss is %v, quiet %v, limit %v", phase, kind, round(f.P99), round(before.P99), round(limit)))
			}
		}
	}
	return reasons
}

// figures is what was measured of one kind of victims in one phase.
type figures struct {
	Requests, Failed int64
	FirstError       string `json:",omitempty"`
	P50, P99         time.Duration
}

func figuresOf(all map[string]*victim.Figures) map[string]*figures {
	of := make(map[string]*figures, len(all))
	for kind, f := range all {
		of[kind] = &figures{Requests: f.Requests, Failed: f.Failed, FirstError: f.FirstError, P50: f.Quantile(50), P99: f.Quantile(99)}
	}
	return of
}

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

// memoryLimit returns limits.memory of a server in a row, or 0 if it has no such limit.
func (a *scenario) memoryLimit(server string) int64 {
	if server != ownServer {
		return 0
	}
	if a.memory > 0 {
		return a.memory
	}
	return site.Memory
}
