package main

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

// block is a fenced block of the manual.
type block struct {
	line    int // of the manual
	section string
	part    string // of the section
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
	section, part := "", ""
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
			open = &block{line: i + 1, section: section, part: part, kind: found[1], words: strings.Fields(found[2])}
		case strings.HasPrefix(line, "## "):
			section, part = strings.TrimPrefix(line, "## "), ""
		case strings.HasPrefix(line, "### "):
			part = strings.TrimPrefix(line, "### ")
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

// v3Section is about etcd 3.6, and needs machines of its own.
const v3Section = "A cluster with etcd 3.6"

// TestTheManual follows the manual from top to bottom. It runs each block of commands on
// the machines that the block names, and compares the output with the block of text that
// follows. A client writes all the time.
func TestTheManual(t *testing.T) {
	m := newMachines(t)
	story := newStory(t, m)
	follow(t, m, story, func(b *block) bool { return b.section != v3Section && b.section != moveSection }, story.before)
	story.stopClient()
}

// TestTheManualOfV3 follows the section about a v3 store, after those that it needs, with each etcd that has
// no v2 API. The upgrade needs a next one.
func TestTheManualOfV3(t *testing.T) {
	releases := slices.DeleteFunc(proxytest.Releases(), func(r proxytest.Release) bool { return r.HasV2() || r.Restorer() == "" })
	for i, release := range releases {
		t.Run(release.Name, func(t *testing.T) {
			m := newMachinesV3(t, release)
			story := newStory(t, m)
			follow(t, m, story, func(b *block) bool {
				if strings.HasSuffix(b.part, "ts upgrade") && i+1 == len(releases) {
					return false
				}
				return b.section == "" || b.section == "Users and the table" || b.section == v3Section || slices.Equal(b.words, []string{"every"})
			}, func(section string) {
				switch section {
				case v3Section + "/Its recovery":
					for _, n := range []int{2, 3} {
						story.run(n, "systemctl kill --signal=KILL etcd; rm -r "+m.root+"/conf100"+strconv.Itoa(n)+"/var/lib/etcd/default/member")
					}
				case v3Section + "/Its upgrade":
					story.startClient()
					m.install(releases[i+1])
				}
			})
			story.stopClient()
		})
	}
}

// follow runs the blocks of the manual that are chosen. It calls before at the beginning of each section and
// of each part of one, as in "section/part".
func follow(t *testing.T, m *machines, story *story, chosen func(*block) bool, before func(section string)) {
	t.Helper()
	every, section := "", ""
	var output string
	for _, b := range readManual(t) {
		if !chosen(&b) {
			continue
		}
		for _, at := range []string{b.section, b.section + "/" + b.part} {
			if section != at && !strings.HasPrefix(section, at+"/") {
				section = at
				before(section)
			}
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
}
