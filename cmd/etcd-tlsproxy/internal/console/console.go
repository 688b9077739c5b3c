// Package console is how the operator's verbs speak: results as text or as JSON,
// plans that must be agreed to before anything is done, and the progress of long
// work. Results go to standard output; everything else goes to standard error, so
// that results can be piped.
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

// Console is one run of a verb. Its flags are set once the command line is read.
type Console struct {
	cmd    *cobra.Command
	output format
	yes    bool
}

// New adds --output to a verb.
func New(cmd *cobra.Command) *Console {
	c := &Console{cmd: cmd, output: "text"}
	cmd.Flags().Var(&c.output, "output", "how to print the result: text or json")
	return c
}

// NewConfirming adds --output and --yes to a verb that changes something.
func NewConfirming(cmd *cobra.Command) *Console {
	c := New(cmd)
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do what the plan says; without it the plan is printed and nothing is done")
	return c
}

// format is the value of --output.
type format string

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "text|json" }
func (f *format) Set(s string) error {
	if s != "text" && s != "json" {
		return errors.New("it is text or json")
	}
	*f = format(s)
	return nil
}

// JSON reports whether results are JSON.
func (c *Console) JSON() bool { return c.output == "json" }

// Out is where results go.
func (c *Console) Out() io.Writer { return c.cmd.OutOrStdout() }

// Err is for what is not the result.
func (c *Console) Err() io.Writer { return c.cmd.ErrOrStderr() }

// In is where passwords and other input come from.
func (c *Console) In() io.Reader { return c.cmd.InOrStdin() }

// Print writes a result: as indented JSON, or as text writes it.
func (c *Console) Print(result any, text func(io.Writer) error) error {
	if !c.JSON() {
		return text(c.Out())
	}
	encoder := json.NewEncoder(c.Out())
	encoder.SetEscapeHTML(false) // no one reads it as HTML, and keys hold & and <
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}

// Note tells what is going on, a line each.
func (c *Console) Note(form string, args ...any) {
	fmt.Fprintf(c.Err(), form+"\n", args...)
}

// NoteText is Note for a text that is not a format.
func (c *Console) NoteText(text string) { c.Note("%s", text) }

// ErrNotConfirmed is the end of a verb that printed its plan and did nothing.
var ErrNotConfirmed = errors.New("nothing was done (hint: run it again with --yes to do what the plan says)")

// Agreed prints a plan to standard error and returns nil if --yes agreed to it.
func (c *Console) Confirm(plan ...string) error {
	c.Note("plan:")
	for i, step := range plan {
		c.Note("  %d. %s", i+1, step)
	}
	if !c.yes {
		return ErrNotConfirmed
	}
	return nil
}

// terminal reports whether a stream is one that a person looks at.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
