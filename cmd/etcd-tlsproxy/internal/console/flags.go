package console

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// FlagError returns the error of a command line in the words of an operator: the library's
// name functions of Go.
func FlagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var wrong *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		if unknown.GetSpecifiedShortnames() != "" {
			return fmt.Errorf("there is no flag -%s", unknown.GetSpecifiedName())
		}
		hint := ""
		if near := similarFlags(cmd, unknown.GetSpecifiedName()); len(near) > 0 {
			hint = " (hint: did you mean " + strings.Join(near, " or ") + "?)"
		}
		return fmt.Errorf("there is no flag --%s%s", unknown.GetSpecifiedName(), hint)
	case errors.As(err, &missing):
		kind, _ := pflag.UnquoteUsage(missing.GetFlag())
		return fmt.Errorf("--%s needs a value (hint: write --%[1]s %s)", missing.GetFlag().Name, strings.ToUpper(kind))
	case errors.As(err, &wrong):
		flag := wrong.GetFlag()
		if want := wanted[flag.Value.Type()]; want != "" {
			return fmt.Errorf("--%s wants %s, got %q", flag.Name, want, wrong.GetValue())
		}
		return fmt.Errorf("--%s: got %q: %w", flag.Name, wrong.GetValue(), wrong.Unwrap())
	}
	return err
}

// wanted describes the values of the library's types of flags.
var wanted = map[string]string{
	"bool": "true or false", "int": "a whole number", "uint64": "a whole number of 0 or more", "intSlice": "whole numbers, separated by commas",
	"duration": "a duration above 0, as in 5s or 10m",
}

// similarFlags returns the flags with similar names. It lets the library compare names of
// commands.
func similarFlags(cmd *cobra.Command, name string) []string {
	names := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	return dashed(names.SuggestionsFor(name))
}

// duration is the value of a flag that must be above 0.
type duration time.Duration

func (d *duration) String() string { return time.Duration(*d).String() }
func (d *duration) Type() string   { return "duration" }
func (d *duration) Set(text string) error {
	value, err := time.ParseDuration(text)
	if err == nil && value <= 0 {
		err = errors.New("it is not above 0")
	}
	*d = duration(value)
	return err
}

// DurationVar adds a flag for a duration above 0.
func DurationVar(f *pflag.FlagSet, to *time.Duration, name string, value time.Duration, usage string) {
	*to = value
	f.Var((*duration)(to), name, usage)
}
