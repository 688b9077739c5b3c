package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// variantSource has functions of each form. Their results are constants, which mutants change.
const variantSource = `package example

type number int

func (number) unnamed(_ int, _ string) int { return 100 }

func (n *number) variadic(a ...int) int { return len(a) + 200 }

func results(a int) (b int, err error) {
	b, err = a, nil
	defer func() { b += 300 }()
	return
}

func generic[K comparable, V any](map[K]V) (v V, i int) { return v, 400 }

func nothing(a *int) { *a = 500 }

func labels() int {
outer:
	for {
		for {
			break outer
		}
	}
	return 600
}

type list[T any] []T

func (l list[T]) method(T) int { return 700 }

func recovering() { recover(); _ = 800 }

const constant = 900
`

const variantTest = `package example

import (
	"fmt"
	"testing"
)

func Test(t *testing.T) {
	var n number
	var d int
	b, _ := results(0)
	_, c := generic(map[string]bool{})
	nothing(&d)
	sums := []int{n.unnamed(1, ""), n.variadic(1, 2), b, c, d, labels(), list[int]{}.method(1)}
	fmt.Println(sums)
	recovering()
}
`

// TestAFunctionOfEachFormCallsTheSelectedVariant selects the mutant of each number in turn.
func TestAFunctionOfEachFormCallsTheSelectedVariant(t *testing.T) {
	s := writeModule(t, map[string]string{"f.go": variantSource, "f_test.go": variantTest})
	var numbers []*mutant
	for _, m := range s.mutants {
		if m.kind == "other number" && !strings.Contains(m.function, "recovering") && m.function != "constant" {
			numbers = append(numbers, m)
		}
	}
	p, err := compile(t.Context(), s, t.TempDir(), s.mutants)
	if err != nil {
		t.Fatal(err)
	}
	const unchanged = "[100 202 300 400 500 600 700]"
	trial := &trial{source: s, program: p}
	expect := func(number int, want string) {
		t.Helper()
		out, err := trial.run(t.Context(), p.path(), number, minLimit, "-test.run=.")
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("mutant %d: got %v and the output %q, want %s", number, err, out, want)
		}
	}
	expect(0, unchanged)
	if len(numbers) != 7 {
		t.Fatalf("mutants that are another number: got %d, want 7", len(numbers))
	}
	for i, m := range numbers {
		was := strings.Fields(strings.Trim(unchanged, "[]"))
		was[i] = was[i][:2] + string(was[i][2]+1)
		expect(p.number(m), "["+strings.Join(was, " ")+"]")
	}
}

// TestMutantsThatCannotBeSelectedAreApart looks for those that would not take part.
func TestMutantsThatCannotBeSelectedAreApart(t *testing.T) {
	s := writeModule(t, map[string]string{"f.go": variantSource, "f_test.go": variantTest})
	p, err := compile(t.Context(), s, t.TempDir(), s.mutants)
	if err != nil {
		t.Fatal(err)
	}
	var functions []string
	for _, m := range s.mutants {
		if state, ok := p.state[m]; ok && state == apart && !slices.Contains(functions, m.function) {
			functions = append(functions, m.function)
		}
	}
	if want := []string{"recovering", "constant"}; !slices.Equal(functions, want) {
		t.Errorf("functions and constants with mutants apart: got %q, want %q", functions, want)
	}
}

// TestMutantsThatDoNotCompileAreFound knows three reasons: a type, a variable that is not used, and
// an import that is not used.
func TestMutantsThatDoNotCompileAreFound(t *testing.T) {
	s := writeModule(t, map[string]string{"f.go": `package example

import "os"

func f(a string) string {
	b := "b"
	b = b + a
	os.Exit(3)
	return a + ""
}

func g() {
	var b int
	b = 7
	func() { _ = b }()
}
`})
	p, err := compile(t.Context(), s, t.TempDir(), s.mutants)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range s.mutants {
		if _, after := m.lines(); p.state[m] != invalid {
			got = append(got, strings.TrimSpace(strings.Join(after, "")))
		}
	}
	if want := []string{"os.Exit(4)", "", "b = 8"}; !slices.Equal(got, want) {
		t.Errorf("mutants that compile: got %q, want %q", got, want)
	}
}

// writeModule writes a module with the package example.
func writeModule(t *testing.T, files map[string]string) *source {
	t.Helper()
	folder := t.TempDir()
	files["go.mod"] = "module example\n\ngo 1.26\n"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(folder)
	s, err := load(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
