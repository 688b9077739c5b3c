package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func rates(values ...float64) (samples []*sample) {
	for _, value := range values {
		samples = append(samples, &sample{Rate: value})
	}
	return samples
}

func TestReports(t *testing.T) {
	c := &comparison{
		Name: "n", What: "w", Figure: "rate", Order: []string{"ours", "tuned"},
		Samples: map[string][]*sample{
			"ours":  rates(300, 100, 200),
			"tuned": {{Rate: 100, Errors: 2, FirstError: "status 500"}},
		},
		Notes: []string{"haproxy is left out: it is not installed"},
	}
	if got := c.ratio("tuned"); got != 2 {
		t.Errorf("ratio of tuned: got %v, want 2", got)
	}
	var text bytes.Buffer
	c.print(&text)
	for _, want := range []string{"200", "2.00", "2 (status 500)", "haproxy is left out"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, text.String())
		}
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := writeHTML(path, []*comparison{c}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"200 requests/s", `width="400.0"`} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestBuildsAreComparedWithTheFirst(t *testing.T) {
	c := &comparison{
		Name: "get", What: "w", Figure: "rate", Builds: true, Order: []string{"old", "new"},
		Samples:   map[string][]*sample{"old": rates(100, 200, 110), "new": rates(110, 190, 99)},
		Baselines: map[string]string{"new": "old"},
	}
	if got := c.ratio("new"); got != 1 {
		t.Errorf("ratio of the medians: got %v, want 110/110", got)
	}
	if least, greatest := c.roundRatios("new"); least != 0.9 || greatest != 1.1 {
		t.Errorf("ratios of rounds: got %v to %v, want 0.9 to 1.1", least, greatest)
	}
	if got := c.spread("old"); got != 100.0/110 {
		t.Errorf("spread of the baseline: got %v, want 100/110", got)
	}
	if got := c.ratioText("old"); got != "-" {
		t.Errorf("ratio of the baseline: got %q, want none", got)
	}
	var text bytes.Buffer
	c.print(&text)
	printSummary(&text, []*comparison{c})
	for _, want := range []string{"1.000", "0.900 to 1.100", "90.9", "requests/s"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, text.String())
		}
	}
}

func TestEverySecondRoundGoesBackwards(t *testing.T) {
	list := []string{"a", "b", "c"}
	for round, want := range [][]string{{"a", "b", "c"}, {"c", "b", "a"}, {"a", "b", "c"}} {
		if got := inRound(round, list); !slices.Equal(got, want) {
			t.Errorf("round %d: got %v, want %v", round, got, want)
		}
	}
}
