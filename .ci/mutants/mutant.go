package main

import (
	"bytes"
	"fmt"
	"strings"
)

// mutant is one change of one file.
type mutant struct {
	file     string // relative to the root of the module
	function string // the function or method, such as Hasher.acquire, or the declaration
	line     int
	kind     string

	source      []byte // of the whole file
	start, end  int    // the bytes that are replaced
	replacement string
}

// changed returns the changed file.
func (m *mutant) changed() []byte {
	return bytes.Join([][]byte{m.source[:m.start], []byte(m.replacement), m.source[m.end:]}, nil)
}

// lines returns the lines that the change touches, before and after it, without blank lines.
func (m *mutant) lines() (before, after []string) {
	first := bytes.LastIndexByte(m.source[:m.start], '\n') + 1
	last := len(m.source)
	if i := bytes.IndexByte(m.source[m.end:], '\n'); i >= 0 {
		last = m.end + i
	}
	changed := string(m.source[first:m.start]) + m.replacement + string(m.source[m.end:last])
	return withoutBlank(string(m.source[first:last])), withoutBlank(changed)
}

func withoutBlank(text string) (lines []string) {
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimRight(line, " \t"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// String returns the place of the change and its diff, in the form of equivalents.txt.
func (m *mutant) String() string {
	before, after := m.lines()
	b := &strings.Builder{}
	fmt.Fprintf(b, "# line %d: %s\n%s %s", m.line, m.kind, m.file, m.function)
	for _, line := range before {
		b.WriteString("\n-" + line)
	}
	for _, line := range after {
		b.WriteString("\n+" + line)
	}
	return b.String()
}
