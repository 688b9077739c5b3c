// Package console is the terminal interface of the verbs. It prints results as text or as
// JSON, plans that the operator must confirm, and the progress of long work. Results go to
// standard output and everything else to standard error, so that results can be piped.
package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Console is the console of one run of a verb. Its flags are set when the command line is
// parsed.
type Console struct {
	cmd    *cobra.Command
	output format
	yes    bool
}

// New adds --output to a verb.
func New(cmd *cobra.Command) *Console {
	c := &Console{cmd: cmd, output: "text"}
	cmd.Flags().Var(&c.output, "output", "form of the result: text or json")
	if err := cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic("BUG: the flag was added above: " + err.Error())
	}
	return c
}

// NewConfirming adds --output and --yes to a verb that changes something.
func NewConfirming(cmd *cobra.Command) *Console {
	c := New(cmd)
	cmd.Flags().BoolVar(&c.yes, "yes", false, "carry out the plan; without this flag the plan is only printed")
	return c
}

// format is the value of --output.
type format string

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "text|json" }
func (f *format) Set(s string) error {
	if s != "text" && s != "json" {
		return errors.New("the output must be text or json")
	}
	*f = format(s)
	return nil
}

// JSON reports whether results are printed as JSON.
func (c *Console) JSON() bool { return c.output == "json" }

// Out is the writer for results.
func (c *Console) Out() io.Writer { return c.cmd.OutOrStdout() }

// Err is the writer for everything else.
func (c *Console) Err() io.Writer { return c.cmd.ErrOrStderr() }

// In is the reader for passwords and other input.
func (c *Console) In() io.Reader { return c.cmd.InOrStdin() }

// Print writes a result as indented JSON, or as text by calling text.
func (c *Console) Print(result any, text func(io.Writer) error) error {
	if !c.JSON() {
		return text(c.Out())
	}
	encoder := json.NewEncoder(c.Out())
	encoder.SetEscapeHTML(false) // the output is not HTML, and keys can contain & and <
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}

// Note writes a line about the progress of the work.
func (c *Console) Note(form string, args ...any) {
	fmt.Fprintf(c.Err(), form+"\n", args...)
}

// NoteText is like Note, for a text that is not a format.
func (c *Console) NoteText(text string) { c.Note("%s", text) }

// ErrNotConfirmed is the error of a verb that only printed its plan. It means the status
// [ExitPlanned].
var ErrNotConfirmed = errors.New("nothing was done (hint: run it again with --yes to carry out the plan)")

// Confirm prints a plan to standard error. Unless --yes is given, it returns an error; with
// --output json the plan is then the result as well.
func (c *Console) Confirm(plan ...string) error {
	c.Note("plan:")
	for i, step := range plan {
		c.Note("  %d. %s", i+1, step)
	}
	if c.yes {
		return nil
	}
	if c.JSON() {
		result := struct {
			Plan []string `json:"plan"`
		}{plan}
		if err := c.Print(result, nil); err != nil {
			return err
		}
	}
	return ErrNotConfirmed
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
