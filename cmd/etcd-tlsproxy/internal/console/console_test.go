package console

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// run runs a verb and returns its output.
func run(t *testing.T, do func(*Console) error, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := &cobra.Command{Use: "verb", SilenceErrors: true, SilenceUsage: true}
	c := NewConfirming(cmd)
	cmd.RunE = func(*cobra.Command, []string) error { return do(c) }
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err = cmd.Execute()
	return out.String(), errs.String(), err
}

func TestAResultIsTextOrJSON(t *testing.T) {
	result := struct {
		Key string `json:"key"`
	}{"/a<b"}
	printResult := func(c *Console) error {
		return c.Print(result, func(w io.Writer) error {
			_, err := io.WriteString(w, "key "+result.Key+"\n")
			return err
		})
	}
	for format, want := range map[string]string{"text": "key /a<b\n", "json": "{\n  \"key\": \"/a<b\"\n}\n"} {
		if got, _, err := run(t, printResult, "--output", format); err != nil || got != want {
			t.Errorf("--output %s: got %q (%v), want %q", format, got, err, want)
		}
	}
	if _, _, err := run(t, printResult, "--output", "yaml"); err == nil || !strings.Contains(err.Error(), "text or json") {
		t.Errorf("--output yaml: got %v, want the known forms", err)
	}
}

func TestNothingIsDoneBeforeThePlanWasAgreedTo(t *testing.T) {
	plan := func(c *Console) error { return c.Confirm("remove the member", "drop its record") }
	stdout, stderr, err := run(t, plan)
	if !errors.Is(err, ErrNotConfirmed) || stdout != "" || stderr != "plan:\n  1. remove the member\n  2. drop its record\n" {
		t.Errorf("without --yes: got output %q, errors %q and %v, want the plan and %v", stdout, stderr, err, ErrNotConfirmed)
	}
	stdout, stderr, err = run(t, plan, "--output", "json")
	if want := "{\n  \"plan\": [\n    \"remove the member\",\n    \"drop its record\"\n  ]\n}\n"; !errors.Is(err, ErrNotConfirmed) || stdout != want || !strings.Contains(stderr, "1. remove") {
		t.Errorf("without --yes, as JSON: got output %q, errors %q and %v, want %q, the plan and %v", stdout, stderr, err, want, ErrNotConfirmed)
	}
	if _, stderr, err := run(t, plan, "--yes"); err != nil || !strings.Contains(stderr, "1. remove") {
		t.Errorf("with --yes: got %q (%v), want the plan and no error", stderr, err)
	}
}

func TestProgressIsToldInLinesWhereNobodySeesABar(t *testing.T) {
	_, stderr, err := run(t, func(c *Console) error {
		for _, total := range []int64{3, -1} {
			p := c.Progress("keys", total)
			p.Add(1)
			p.Add(2)
			p.Done()
		}
		return nil
	})
	if want := "keys: 3 of 3\nkeys: 3\n"; err != nil || stderr != want {
		t.Errorf("got %q (%v), want %q", stderr, err, want)
	}
}
