package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// equivalents are the mutants that no test can notice.
type equivalents struct {
	file    string
	entries []*equivalent
}

type equivalent struct {
	line          int    // in the list
	place         string // the file and the function
	before, after []string
	reason        string
}

// readEquivalents reads the list. Entries are separated by blank lines, and are what is printed
// of a survivor, followed by lines that begin with "= " and say why no test can notice it.
func readEquivalents(file string) (*equivalents, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := &equivalents{file: file}
	var e *equivalent
	for i, line := range strings.Split(string(data)+"\n", "\n") {
		line = strings.TrimRight(line, " \t")
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			if e != nil && (e.reason == "" || len(e.before) == 0) {
				return nil, fmt.Errorf("%s:%d: the entry lacks a line that begins with - or with =", file, e.line)
			}
			e = nil
		case e == nil:
			e = &equivalent{line: i + 1, place: line}
			all.entries = append(all.entries, e)
		case line[0] == '-':
			e.before = append(e.before, strings.TrimSpace(line[1:]))
		case line[0] == '+':
			e.after = append(e.after, strings.TrimSpace(line[1:]))
		case line[0] == '=':
			e.reason += line[1:]
		default:
			return nil, fmt.Errorf("%s:%d: the line begins with %q, want one of # - + =", file, i+1, line[:1])
		}
	}
	return all, nil
}

// leaveOut returns the mutants of a package that are not in the list, and how many are. An entry
// whose code is gone is an error, so that the list does not outlive its reasons.
func (all *equivalents) leaveOut(p *source) (rest []*mutant, count int, err error) {
	used := make(map[*equivalent]bool)
	files := make(map[string]bool)
	for _, m := range p.mutants {
		files[m.file] = true
		before, after := m.lines()
		trim(before)
		trim(after)
		i := slices.IndexFunc(all.entries, func(e *equivalent) bool {
			return e.place == m.file+" "+m.function && slices.Equal(e.before, before) && slices.Equal(e.after, after)
		})
		if i < 0 {
			rest = append(rest, m)
			continue
		}
		used[all.entries[i]] = true
		count++
	}
	for _, e := range all.entries {
		file, _, _ := strings.Cut(e.place, " ")
		if files[file] && !used[e] {
			return nil, 0, fmt.Errorf("%s:%d: the entry matches no mutant of %s; the code was changed, so look whether it still holds", all.file, e.line, file)
		}
	}
	return rest, count, nil
}

func trim(lines []string) {
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
}
