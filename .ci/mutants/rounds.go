package main

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
)

// shortShare is the part of the time of all tests that the first round takes.
const shortShare = 5

var passed = regexp.MustCompile(`(?m)^--- PASS: (\S+) \((\S+)\)$`)

// rounds returns flags that select first the short tests, and then the others. Most mutants
// die in the first. The output is that of all tests with -test.v.
func rounds(out []byte) []string {
	type test struct {
		name string
		time time.Duration
	}
	var tests []test
	var all time.Duration
	for _, match := range passed.FindAllSubmatch(out, -1) {
		took, err := time.ParseDuration(string(match[2]))
		if err != nil {
			continue
		}
		tests = append(tests, test{string(match[1]), took})
		all += took
	}
	slices.SortStableFunc(tests, func(a, b test) int { return cmp.Compare(a.time, b.time) })
	var short []string
	var sum time.Duration
	for _, t := range tests {
		if sum += t.time; sum > all/shortShare {
			break
		}
		short = append(short, regexp.QuoteMeta(t.name))
	}
	if len(short) == 0 || len(short) == len(tests) {
		return []string{"-test.run=."}
	}
	pattern := "^(" + strings.Join(short, "|") + ")$"
	return []string{"-test.run=" + pattern, "-test.skip=" + pattern}
}
