package main

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// block is a fenced block of the manual.
type block struct {
	line    int // of the manual
	section string
	// kind is sh, text or yaml; words are what follows it on the line.
	kind  string
	words []string
	text  string
}

var fence = regexp.MustCompile("^```(\\w*) *(.*)$")

// readManual returns all blocks. A block without a kind is an error, because it would not
// be tested.
func readManual(t *testing.T) []block {
	t.Helper()
	data, err := os.ReadFile("../../MANUAL.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	var open *block
	section := ""
	for i, line := range strings.Split(string(data), "\n") {
		found := fence.FindStringSubmatch(line)
		switch {
		case open != nil && line == "```":
			// deploy/check-deb follows this section in a booted Debian.
			if section != "Run it in production" {
				blocks = append(blocks, *open)
			}
			open = nil
		case open != nil:
			open.text += line + "\n"
		case found != nil:
			if found[1] != "sh" && found[1] != "text" && found[1] != "yaml" {
				t.Fatalf("MANUAL.md:%d: got a block of the kind %q, want sh, text or yaml", i+1, found[1])
			}
			open = &block{line: i + 1, section: section, kind: found[1], words: strings.Fields(found[2])}
		case strings.HasPrefix(line, "## "):
			section = strings.TrimPrefix(line, "## ")
		case strings.Contains(line, "    etcd-tlsproxy "):
			t.Fatalf("MANUAL.md:%d: the command is not in a fenced block", i+1)
		}
	}
	if open != nil {
		t.Fatalf("MANUAL.md:%d: the block has no end", open.line)
	}
	return blocks
}

// checkOutput fails the test unless an output contains the lines of a text block, in
// their order. In a line, ... stands for any text.
func (b *block) checkOutput(t *testing.T, output, want string) {
	t.Helper()
	lines := strings.Split(output, "\n")
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, ".*") + "$")
		i := slices.IndexFunc(lines, pattern.MatchString)
		if i < 0 {
			t.Fatalf("MANUAL.md:%d: the output does not contain %q:\n%s", b.line, line, output)
		}
		lines = lines[i+1:]
	}
}

// TestTheManual follows the manual from top to bottom. It runs each block of commands on
// the machines that the block names, and compares the output with the block of text that
// follows. A client writes all the time.
func TestTheManual(t *testing.T) {
	m := newMachines(t)
	story := newStory(t, m)
	every, section := "", ""
	var output string
	for _, b := range readManual(t) {
		if b.section != section {
			section = b.section
			story.before(section)
		}
		switch b.kind {
		case "text":
			b.checkOutput(t, output, m.here(1, b.text))
			continue
		case "yaml":
			continue
		}
		if slices.Equal(b.words, []string{"every"}) {
			every += b.text
			continue
		}
		want, machines := 0, []int{}
		for _, word := range b.words {
			if status, ok := strings.CutPrefix(word, "exit="); ok {
				want, _ = strconv.Atoi(status)
			} else if n, ok := strings.CutPrefix(word, "conf100"); ok && len(n) == 1 && n >= "1" && n <= "3" {
				machines = append(machines, int(n[0]-'0'))
			} else {
				t.Fatalf("MANUAL.md:%d: the block has the unknown word %q, want exit=STATUS or a machine", b.line, word)
			}
		}
		if len(machines) == 0 {
			t.Fatalf("MANUAL.md:%d: the block names no machine", b.line)
		}
		for _, n := range machines {
			var code int
			start := time.Now()
			code, output = m.run(n, m.here(n, every+b.text))
			if code != want {
				t.Fatalf("MANUAL.md:%d: on conf100%d: got exit status %d, want %d:\n%s\n%s%s", b.line, n, code, want, b.text, output, story.logs())
			}
			t.Logf("MANUAL.md:%d: on conf100%d, in %v:\n%s%s", b.line, n, time.Since(start).Round(time.Millisecond), b.text, output)
		}
	}
	story.stopClient()
}
