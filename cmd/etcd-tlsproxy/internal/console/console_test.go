package console

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// run runs a verb, and returns what it wrote.
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
	print := func(c *Console) error {
		return c.Print(result, func(w io.Writer) error {
			_, err := io.WriteString(w, "key "+result.Key+"\n")
			return err
		})
	}
	for format, want := range map[string]string{"text": "key /a<b\n", "json": "{\n  \"key\": \"/a<b\"\n}\n"} {
		if got, _, err := run(t, print, "--output", format); err != nil || got != want {
			t.Errorf("%s: %q, %v", format, got, err)
		}
	}
	if _, _, err := run(t, print, "--output", "yaml"); err == nil || !strings.Contains(err.Error(), "text or json") {
		t.Errorf("yaml: %v", err)
	}
}

func TestNothingIsDoneBeforeThePlanWasAgreedTo(t *testing.T) {
	plan := func(c *Console) error { return c.Confirm("remove the member", "drop its record") }
	stdout, stderr, err := run(t, plan)
	if !errors.Is(err, ErrNotConfirmed) || stdout != "" || stderr != "plan:\n  1. remove the member\n  2. drop its record\n" {
		t.Errorf("%q, %q, %v", stdout, stderr, err)
	}
	if _, stderr, err := run(t, plan, "--yes"); err != nil || !strings.Contains(stderr, "1. remove") {
		t.Errorf("%q, %v", stderr, err)
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
	if err != nil || stderr != "keys: 3 of 3\nkeys: 3\n" {
		t.Errorf("%q, %v", stderr, err)
	}
}
