package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/internal/tool"
)

func TestFlagsThatWouldMeasureNothingAreRefused(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	good := settings{rounds: 1, duration: time.Second, scenarios: []string{"get-null"}, only: []string{"ours"}}
	if err := good.check(); err != nil {
		t.Errorf("checking %+v: %v", good, err)
	}
	for what, spoil := range map[string]func(*settings){
		"no round":           func(s *settings) { s.rounds = 0 },
		"negative events":    func(s *settings) { s.events = -1 },
		"no duration":        func(s *settings) { s.duration = 0 },
		"unknown scenario":   func(s *settings) { s.scenarios = []string{"get-nul"} },
		"unknown proxy":      func(s *settings) { s.only = []string{"apache"} },
		"missing program":    func(s *settings) { s.proxy = []string{program + ".missing"} },
		"not a program":      func(s *settings) { s.proxy = []string{filepath.Dir(program)} },
		"builds and others":  func(s *settings) { s.proxy = []string{"old=" + program, "new=" + program} },
		"builds without":     func(s *settings) { s.only, s.proxy = nil, []string{program, "new=" + program} },
		"a name twice":       func(s *settings) { s.only, s.proxy = nil, []string{"new=" + program, "new=" + program} },
		"a name of a proxy":  func(s *settings) { s.only, s.proxy = nil, []string{"old=" + program, "tuned=" + program} },
		"a name, no program": func(s *settings) { s.only, s.proxy = nil, []string{"old=" + program, "new="} },
	} {
		bad := good
		spoil(&bad)
		if bad.check() == nil {
			t.Errorf("%s: %+v was accepted", what, bad)
		}
	}
}

func TestAWrongCommandLineHasAStatusOfItsOwn(t *testing.T) {
	for _, args := range [][]string{
		{"more"}, {"--nothing"}, {"--rounds", "x"}, {"--rounds", "0"}, {"--duration", "0s"}, {"--events", "-1"}, {"--scenarios", "get-nul"}, {"--only", "apache"},
		{"--quick=no"}, {"--keep=no"}, {"--proxy"}, {"--proxy", os.Args[0], "--proxy", os.Args[0]},
	} {
		if code := tool.Run(t.Context(), newCommand(), args, io.Discard, io.Discard); code != 2 {
			t.Errorf("%q: got status %d, want 2", args, code)
		}
	}
	if code := tool.Run(t.Context(), newCommand(), []string{"--proxy", "nothing"}, io.Discard, io.Discard); code != 1 {
		t.Errorf("a program that does not exist: got status %d, want 1", code)
	}
}

func TestProxiesAreNamedByTheirFlags(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "a=b")
	if err := os.WriteFile(program, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flags []string
		want  []build
	}{
		{nil, []build{{name: "ours"}}},
		{[]string{program}, []build{{"ours", program}}},
		{[]string{"new=" + program}, []build{{"ours", program}}},
		{[]string{"new=" + program, "old=" + program}, []build{{"new", program}, {"old", program}}},
	} {
		if got, err := parseBuilds(c.flags); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("parsing %q: got %v, %v; want %v", c.flags, got, err, c.want)
		}
	}
}

// contenderNames lists the contenders of a scenario that the settings select.
func (s *settings) contenderNames(sc *scenario) (names []string) {
	for _, c := range sc.contenders(s.builds) {
		if s.selected(c.kind) {
			names = append(names, c.name)
		}
	}
	return names
}

func TestVariantsAreMeasuredWithOurs(t *testing.T) {
	plain, varied := &scenario{}, &scenario{variants: []variant{{suffix: "bcrypt"}}}
	one, two := []build{{name: "ours"}}, []build{{name: "old"}, {name: "new"}}
	for _, c := range []struct {
		what string
		settings
		scenario *scenario
		want     []string
	}{
		{"all proxies", settings{builds: one}, plain, []string{"ours", "tuned", "profile", "haproxy"}},
		{"--only ours", settings{builds: one, only: []string{"ours"}}, plain, []string{"ours"}},
		{"--only tuned", settings{builds: one, only: []string{"tuned"}}, plain, []string{"tuned"}},
		{"variants", settings{builds: one}, varied, []string{"ours", "bcrypt"}},
		{"variants with --only ours", settings{builds: one, only: []string{"ours"}}, varied, []string{"ours", "bcrypt"}},
		{"variants with --only tuned", settings{builds: one, only: []string{"tuned"}}, varied, nil},
		{"two builds", settings{builds: two}, plain, []string{"old", "new"}},
		{"variants of two builds", settings{builds: two}, varied, []string{"old", "new", "old-bcrypt", "new-bcrypt"}},
	} {
		if got := c.contenderNames(c.scenario); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
	for _, c := range varied.contenders(two) {
		if want := map[string]string{"new": "old", "new-bcrypt": "old-bcrypt"}[c.name]; c.baseline != want {
			t.Errorf("baseline of %s: got %q, want %q", c.name, c.baseline, want)
		}
	}
}

// buildProgram builds a package into a folder.
func buildProgram(t *testing.T, dir, name, pkg string) string {
	t.Helper()
	program := filepath.Join(dir, name)
	if out, err := exec.Command("go", "build", "-o", program, pkg).CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
	return program
}

// measureBriefly runs the benchmark and returns its report and its JSON.
func measureBriefly(t *testing.T, program string, args ...string) (string, []*comparison) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "out.json")
	out, err := exec.Command(program, append(args, "--rounds", "2", "--duration", "200ms", "--json", file)...).CombinedOutput()
	if err != nil {
		t.Fatalf("running the benchmark with %q: %v\n%s", args, err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var comparisons []*comparison
	if err := json.Unmarshal(data, &comparisons); err != nil {
		t.Fatalf("decoding the report: %v\n%s", err, data)
	}
	return string(out), comparisons
}

// TestABriefRun measures scenarios of several kinds with the proxies that are installed,
// and compares a build with itself.
func TestABriefRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and starts all proxies")
	}
	dir := t.TempDir()
	program := buildProgram(t, dir, "bench", ".")
	proxy := buildProgram(t, dir, "proxy", "etcd-tlsproxy/cmd/etcd-tlsproxy")
	t.Run("proxies", func(t *testing.T) {
		_, comparisons := measureBriefly(t, program, "--proxy", proxy, "--scenarios", "get-500-keys,put-null,idle-memory,v3-put")
		if len(comparisons) != 4 {
			t.Fatalf("got %d scenarios, want 4", len(comparisons))
		}
		for _, c := range comparisons {
			checkSamples(t, c)
		}
	})
	t.Run("builds", func(t *testing.T) {
		out, comparisons := measureBriefly(t, program, "--proxy", "old="+proxy, "--proxy", "new="+proxy, "--scenarios", "get-null", "--profiles", filepath.Join(dir, "profiles"))
		if !strings.Contains(out, "summary: ") {
			t.Errorf("the report lacks a summary:\n%s", out)
		}
		if len(comparisons) != 1 || !slices.Equal(comparisons[0].Order, []string{"old", "new"}) {
			t.Fatalf("got %+v, want one scenario with old and new", comparisons)
		}
		for _, build := range comparisons[0].Order {
			if data, err := os.ReadFile(filepath.Join(dir, "profiles", "get-null-"+build+".pprof")); err != nil || len(data) == 0 {
				t.Errorf("profile of %s: got %d bytes and error %v, want some", build, len(data), err)
			}
		}
		checkSamples(t, comparisons[0])
		for name, samples := range comparisons[0].Samples {
			if len(samples) != 2 {
				t.Errorf("%s: got %d rounds, want 2", name, len(samples))
			}
		}
	})
}

// checkSamples checks that every contender was measured without an error.
func checkSamples(t *testing.T, c *comparison) {
	t.Helper()
	for name, samples := range c.Samples {
		if len(samples) == 0 {
			t.Errorf("%s, %s: got no sample, want some", c.Name, name)
		}
		for _, m := range samples {
			if m.Errors > 0 {
				t.Errorf("%s, %s: got %d errors (%s), want none", c.Name, name, m.Errors, m.FirstError)
			}
			// A process that was loaded before would seem to need no memory for new connections.
			if c.Figure == "memory" && m.Memory < 1000 {
				t.Errorf("%s, %s: got %.0f bytes for a connection, want at least 1000", c.Name, name, m.Memory)
			}
			if c.Figure != "memory" && m.Rate <= 0 {
				t.Errorf("%s, %s: got a rate of %v, want more than 0", c.Name, name, m.Rate)
			}
		}
	}
}
