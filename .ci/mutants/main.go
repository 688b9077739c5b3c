// Command mutants changes a package in small ways, one at a time, and reports the changes that
// the tests of that package do not notice.
//
//	go run ./.ci/mutants [-seed N] [-n N] [-at FILE:LINE] PACKAGE
//
// A mutant is one change: a condition that always or never holds, another operator, a number
// plus one, a statement that is missing, an error that is dropped. A seeded sample of them is
// tested, each with the tests of its own package only, because a mistake should be found
// where it is made. The source files are not changed: the compiler reads the mutants through
// an overlay. All that are in functions are compiled into one program, where a variable of the
// environment selects one.
//
// The exit status is 1 if a mutant survived, and 2 if the run itself failed. A mutant that no
// test can notice belongs into equivalents.txt, with the reason.
//
// The tools that exist draw no reproducible sample, and do not remove statements, which is
// how a release or a check goes missing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(stderr)
	seed := flags.Uint64("seed", 1, "selects the sample")
	size := flags.Int("n", 60, "how many mutants are tested; those that do not compile do not count")
	at := flags.String("at", "", "tests only the mutants at this `FILE:LINE`, such as hasher.go:83")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() != 1 {
		fmt.Fprintln(stderr, "mutants: got", flags.NArg(), "packages, want one, such as ./acl")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	survived, err := testSample(ctx, flags.Arg(0), *seed, *size, *at, stdout)
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "mutants:", err)
		return 2
	case survived > 0:
		return 1
	}
	return 0
}

// testSample tests a sample of the mutants of a package, and returns how many survived.
func testSample(ctx context.Context, name string, seed uint64, size int, at string, out io.Writer) (survived int, err error) {
	p, err := load(ctx, name)
	if err != nil {
		return 0, err
	}
	known, err := readEquivalents(filepath.Join(p.root, ".ci", "mutants", "equivalents.txt"))
	if err != nil {
		return 0, err
	}
	candidates, equivalent, err := known.leaveOut(p)
	if err != nil {
		return 0, err
	}
	if at != "" {
		candidates = atLine(candidates, at)
	}
	if len(candidates) == 0 {
		return 0, errors.New("there is nothing to change in " + name)
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(candidates), func(i, j int) {
		candidates[i], candidates[j] = candidates[j], candidates[i]
	})

	t, err := newTrial(p)
	if err != nil {
		return 0, err
	}
	defer t.close()
	counts := make(map[outcome]int)
	tested := 0
	for len(candidates) > 0 && tested < size {
		n := min(len(candidates), (size-tested)*5/4) // some do not compile
		if err := t.prepare(ctx, candidates[:n]); err != nil {
			return 0, err
		}
		for _, m := range candidates[:n] {
			if tested == size {
				break
			}
			result, err := t.test(ctx, m)
			if err != nil {
				return 0, err
			}
			counts[result]++
			if result != invalid {
				tested++
			}
			if result == alive {
				fmt.Fprintf(out, "%s\n\n", m)
			}
		}
		candidates = candidates[n:]
	}
	fmt.Fprintf(out, "%s, seed %d: %d mutants, %d killed, %d of them by the time limit of %v, %d survived; %d did not compile, %d equivalents are left out\n",
		p.path, seed, tested, tested-counts[alive], counts[late], t.limit.Round(time.Second), counts[alive], counts[invalid], equivalent)
	return counts[alive], nil
}

func atLine(all []*mutant, at string) (list []*mutant) {
	for _, m := range all {
		if place := fmt.Sprintf("%s:%d", m.file, m.line); place == at || strings.HasSuffix(place, "/"+at) {
			list = append(list, m)
		}
	}
	return list
}
