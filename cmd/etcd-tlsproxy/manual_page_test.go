package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestTheManPageKeepsTheCommandsOfTheManual looks for each line of a block in the man page
// that the package has: an operator copies commands from there.
func TestTheManPageKeepsTheCommandsOfTheManual(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is not installed")
	}
	out, err := exec.Command("../../deploy/manual-page.sh", "../../MANUAL.md").Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, link, found := strings.Cut(string(out), `\[la]#`); found {
		target, _, _ := strings.Cut(link, `\[ra]`)
		t.Errorf("the man page shows the link to #%s as it is, want only its text (in MANUAL.md a link is on one line)", target)
	}
	var literal []string
	inside := false
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		switch {
		case line == ".EX" || line == ".EE":
			inside = line == ".EX"
		case inside:
			literal = append(literal, strings.NewReplacer(`\\`, `\`, `\-`, "-", `\&`, "").Replace(line))
		}
	}
	for _, b := range readManual(t) {
		for line := range strings.Lines(b.text) {
			if line = strings.TrimSpace(line); line != "" && !slices.Contains(literal, line) {
				t.Errorf("MANUAL.md:%d: the man page has no literal line %q", b.line, line)
			}
		}
	}
}
