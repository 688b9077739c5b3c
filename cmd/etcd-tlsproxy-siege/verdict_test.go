package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/attack"
)

// goodRow returns a row in which everything is as it must be.
func goodRow() *row {
	of := func(read, login time.Duration) map[string]*figures {
		return map[string]*figures{kindRead: {Requests: 100, P99: read}, kindLogin: {Requests: 10, P99: login}}
	}
	return &row{
		Victims: map[string]map[string]*figures{
			quiet: of(10*time.Millisecond, 400*time.Millisecond), under: of(50*time.Millisecond, 1200*time.Millisecond),
			after: of(10*time.Millisecond, 400*time.Millisecond),
		},
		MemoryLimit: 100 << 20, ServerPeak: 125 << 20, EtcdQuiet: 50 << 20, EtcdPeak: 50<<20 + 1<<30, RecordsRate: 2_000_000,
		Attack: attack.Result{Opened: 1},
	}
}

func TestEachFigureBeyondItsLimitFailsARow(t *testing.T) {
	if got := goodRow().judge(latencyAllowed); len(got) > 0 {
		t.Fatalf("judging a good row: got %q, want no reason", got)
	}
	for want, spoil := range map[string]func(*row){
		"under: 1 of 100 reads failed":          func(r *row) { r.Victims[under][kindRead].Failed = 1 },
		"after: 1 of 10 logins failed":          func(r *row) { r.Victims[after][kindLogin].Failed = 1 },
		"under: the p99 of reads is 51ms":       func(r *row) { r.Victims[under][kindRead].P99 = 51 * time.Millisecond },
		"after: the p99 of reads is 51ms":       func(r *row) { r.Victims[after][kindRead].P99 = 51 * time.Millisecond },
		"under: the p99 of logins is 1.201s":    func(r *row) { r.Victims[under][kindLogin].P99 = 1201 * time.Millisecond },
		"the server's memory reached 126 MiB":   func(r *row) { r.ServerPeak = 126 << 20 },
		"etcd's memory grew by 1025 MiB":        func(r *row) { r.EtcdPeak += 1 << 20 },
		"the log grew by 2.1 MB a second":       func(r *row) { r.RecordsRate = 2_100_000 },
		"nothing was tested":                    func(r *row) { r.Attack.Opened = 0 },
		"2 times: a wrong password was allowed": func(r *row) { r.Attack.Wrong, r.Attack.WrongWhat = 2, "a wrong password was allowed" },
	} {
		r := goodRow()
		spoil(r)
		if got := r.judge(latencyAllowed); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("judging a row: got %q, want one reason that begins with %q", got, want)
		}
	}
}

func TestLatenciesAreComparedWithQuietOnesAndWithTheControl(t *testing.T) {
	for _, c := range []struct {
		what           string
		before, during time.Duration
		control        time.Duration
		allowed        time.Duration
		want           bool
	}{
		{"below what is always allowed", time.Millisecond, 50 * time.Millisecond, 0, latencyAllowed, true},
		{"above it", time.Millisecond, 51 * time.Millisecond, 0, latencyAllowed, false},
		{"twice a slow quiet one", 100 * time.Millisecond, 200 * time.Millisecond, 0, latencyAllowed, true},
		{"more than twice a slow quiet one", 100 * time.Millisecond, 201 * time.Millisecond, 0, latencyAllowed, false},
		{"a little above the control", time.Millisecond, 124 * time.Millisecond, 100 * time.Millisecond, latencyAllowed, true},
		{"far above the control", time.Millisecond, 126 * time.Millisecond, 100 * time.Millisecond, latencyAllowed, false},
		{"not judged", time.Millisecond, time.Minute, 0, 0, true},
	} {
		r := goodRow()
		r.Victims[quiet][kindRead].P99, r.Victims[under][kindRead].P99 = c.before, c.during
		if c.control > 0 {
			r.Victims[control] = map[string]*figures{kindRead: {P99: c.control}}
		}
		if got := r.judge(c.allowed); (len(got) == 0) != c.want {
			t.Errorf("%s: got reasons %q, want passed=%t", c.what, got, c.want)
		}
	}
}

func TestARowNamesItsReasons(t *testing.T) {
	r := goodRow()
	r.Name, r.Server, r.Verdict, r.Reasons = "3/2/four", "nginx", failed, []string{"first", "second"}
	var b strings.Builder
	r.print(&b)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "3/2/four nginx") || !slices.Equal(lines[1:], []string{"    first", "    second"}) {
		t.Errorf("printing a row: got %q, want a line with its name and two with its reasons", lines)
	}
}
