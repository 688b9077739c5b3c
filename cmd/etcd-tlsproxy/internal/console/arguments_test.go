package console

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// verb returns a verb with flags of all kinds.
func verb(use string, args ...cobra.PositionalArgs) *cobra.Command {
	cmd := &cobra.Command{Use: use, SilenceErrors: true, SilenceUsage: true, Args: cobra.MatchAll(append(args, Arguments)...), RunE: func(*cobra.Command, []string) error { return nil }}
	f := cmd.Flags()
	f.String("name", "", "`name` of the member")
	f.String("first", "", "`member` that is first")
	f.Bool("wait", false, "wait")
	f.Int("cost", 0, "cost")
	f.IntSlice("ports", nil, "ports")
	DurationVar(f, new(time.Duration), "timeout", time.Second, "time limit")
	New(cmd)
	cmd.SetFlagErrorFunc(FlagError)
	cmd.SetOut(&bytes.Buffer{})
	return cmd
}

func TestAWrongCommandLineIsExplained(t *testing.T) {
	for _, c := range []struct {
		verb       *cobra.Command
		args, want string
	}{
		{verb("serve"), "", ""},
		{verb("serve"), "x", `want no argument, got "x"`},
		{verb("add FILE USER"), "a b", ""},
		{verb("add FILE USER"), "", "want FILE USER, got no argument"},
		{verb("add FILE USER"), "a", `want FILE USER, got 1 argument: ["a"]`},
		{verb("add FILE USER"), "a b c", `want FILE USER, got 3 arguments: ["a" "b" "c"]`},
		{verb("remove NAME|ID"), "a", ""},
		{verb("dump [PREFIX]"), "", ""},
		{verb("dump [PREFIX]"), "a b", `want [PREFIX], got 2 arguments: ["a" "b"]`},
		{verb("v", Required("name")), "--name a", ""},
		{verb("v", Required("name")), "", "--name is missing (name of the member)"},
		{verb("v", OneOf("name", "first")), "--name a", ""},
		{verb("v", OneOf("name", "first")), "", "want one of --name and --first, got none"},
		{verb("v", OneOf("name", "first")), "--name a --first b", "want one of --name and --first, got --name and --first"},
		{verb("v", AtMostOneOf("name", "first")), "", ""},
		{verb("v", AtMostOneOf("name", "first")), "--name a --first b", "--name and --first exclude each other"},
		{verb("v", Together("name", "first")), "", ""},
		{verb("v", Together("name", "first")), "--first a", "want --name and --first together, got only --first"},
		{verb("v", Needs("first", "name", "cost")), "--first a --name b", ""},
		{verb("v", Needs("first", "name", "cost")), "", ""},
		{verb("v", Needs("first", "name", "cost")), "--name b --cost 1", "--name and --cost can be used only with --first"},
		{verb("v"), "--names a", "there is no flag --names (hint: did you mean --name?)"},
		{verb("v"), "--zzzzzzzz", "there is no flag --zzzzzzzz"},
		{verb("v"), "-z", "there is no flag -z"},
		{verb("v"), "--name", "--name needs a value (hint: write --name NAME)"},
		{verb("v"), "--wait=no", `--wait wants true or false, got "no"`},
		{verb("v"), "--cost=x", `--cost wants a whole number, got "x"`},
		{verb("v"), "--ports=1,x", `--ports wants whole numbers, separated by commas, got "1,x"`},
		{verb("v"), "--timeout=5", `--timeout wants a duration above 0, as in 5s or 10m, got "5"`},
		{verb("v"), "--timeout=-1s", `--timeout wants a duration above 0, as in 5s or 10m, got "-1s"`},
		{verb("v"), "--timeout=1m", ""},
		{verb("v"), "--output=xml", `--output: got "xml": the output must be text or json`},
	} {
		c.verb.SetArgs(strings.Fields(c.args))
		got := ""
		if err := c.verb.Execute(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s %s: got the error %q, want %q", c.verb.Use, c.args, got, c.want)
		}
	}
}
