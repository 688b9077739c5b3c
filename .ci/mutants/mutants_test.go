package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// changedLines returns the changed lines of the mutants of a function with this body.
func changedLines(t *testing.T, body string) (lines []string) {
	t.Helper()
	found, err := findMutants("p/f.go", []byte("package p\n\nfunc (t *T) F() (int, error) {\n"+body+"\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range found {
		if m.function != "T.F" || m.file != "p/f.go" {
			t.Errorf("place of a mutant: got %s %s, want p/f.go T.F", m.file, m.function)
		}
		_, after := m.lines()
		lines = append(lines, strings.TrimSpace(strings.Join(after, "\n")))
	}
	return lines
}

func TestTheChangesOfEachKindOfCode(t *testing.T) {
	for body, want := range map[string][]string{
		"if a && !b {\n}":                 {"if true || (a && !b) {", "if false && (a && !b) {", "if a || !b {", "if !b {", "if a {", "if a && b {"},
		"for a < b {\n}":                  {"for false && (a < b) {", "for a <= b {"},
		"switch {\ncase a >= b:\n}":       {"case false && (a >= b):", "case a > b:"},
		"return a, err":                   {"return a, nil"},
		"return f()":                      nil,
		"f(7)":                            {"", "f(8)"},
		"defer f()":                       {""},
		"a += b":                          {"", "a -= b"},
		"a++":                             {"", "a--"},
		"a := b":                          nil,
		"a = min(b, c)":                   {"", "a = max(b, c)"},
		"a = 'x'":                         {"", "a = 'y'"},
		"a = true":                        {"", "a = false"},
		"panic(\"BUG\")":                  nil,
		"for {\nbreak\n}":                 {""},
		"f = func() error { return err }": {"", "f = func() error { return nil }"},
	} {
		if got := changedLines(t, body); !slices.Equal(got, want) {
			t.Errorf("mutants of %q: got %q, want %q", body, got, want)
		}
	}
}

// TestTheOutcomes runs the command on a module whose tests notice one of three changes.
func TestTheOutcomes(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example\n\ngo 1.26\n")
	write("f.go", "package example\n\nfunc positive(a int) bool {\n\treturn a > 0\n}\n")
	write("f_test.go", "package example\n\nimport \"testing\"\n\nfunc TestPositive(t *testing.T) {\n\tif !positive(1) {\n\t\tt.Error(1)\n\t}\n}\n")
	write(".ci/mutants/equivalents.txt", "")
	t.Chdir(folder)

	expect := func(what string, wantStatus int, wantOutput ...string) {
		t.Helper()
		var stdout, stderr strings.Builder
		status := run([]string{"-seed", "3", "."}, &stdout, &stderr)
		if status != wantStatus {
			t.Errorf("%s: got the exit status %d, want %d; output:\n%s%s", what, status, wantStatus, &stdout, &stderr)
		}
		for _, want := range wantOutput {
			if all := stdout.String() + stderr.String(); !strings.Contains(all, want) {
				t.Errorf("%s: got the output\n%s\nwant %q in it", what, all, want)
			}
		}
	}
	const survivor = "f.go positive\n-\treturn a > 0\n+\treturn a >= 0\n"
	expect("a test that leaves out 0", 1, survivor, "2 mutants, 1 killed, 0 of them by the time limit of 10s, 1 survived")
	write(".ci/mutants/equivalents.txt", survivor)
	expect("an equivalent without a reason", 2, "equivalents.txt:1: the entry lacks")
	write(".ci/mutants/equivalents.txt", survivor+"= nobody counts from 0\n")
	expect("an equivalent", 0, "1 mutants, 1 killed", "1 equivalents are left out")
	write("f.go", "package example\n\nfunc positive(a int) bool {\n\treturn 0 < a\n}\n")
	expect("an equivalent whose code was changed", 2, "equivalents.txt:1: the entry matches no mutant of f.go")
	write("f_test.go", "package example\n\nimport \"testing\"\n\nfunc TestPositive(t *testing.T) { t.Error(1) }\n")
	write(".ci/mutants/equivalents.txt", "")
	expect("tests that fail without a change", 2, "testing example without a change")
}

// TestEquivalentsHaveTheirCode finds entries whose code was changed without a run of the tests.
func TestEquivalentsHaveTheirCode(t *testing.T) {
	all, err := readEquivalents("equivalents.txt")
	if err != nil {
		t.Fatal(err)
	}
	folders := make(map[string]bool)
	for _, e := range all.entries {
		file, _, _ := strings.Cut(e.place, " ")
		if _, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(file))); err != nil {
			t.Errorf("equivalents.txt:%d: %v", e.line, err)
			continue
		}
		folders[filepath.Dir(file)] = true
	}
	for folder := range folders {
		p, err := load(t.Context(), "../../"+folder)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := all.leaveOut(p); err != nil {
			t.Error(err)
		}
	}
}
