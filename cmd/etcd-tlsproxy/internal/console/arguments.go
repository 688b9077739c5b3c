package console

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// argument matches an argument in the usage line of a verb, such as FILE, NAME|ID or [KEY].
var argument = regexp.MustCompile(`^\[?[A-Z][A-Z|]*\]?$`)

// Arguments accepts the arguments that the usage line of a verb names.
func Arguments(cmd *cobra.Command, args []string) error {
	var all []string
	required := 0
	for _, word := range strings.Fields(cmd.Use)[1:] {
		if argument.MatchString(word) {
			all = append(all, word)
			if word[0] != '[' {
				required++
			}
		}
	}
	switch n := len(args); {
	case len(all) == 0 && n > 0:
		hint := ""
		if cmd.Flags().Lookup("config") != nil {
			hint = " (hint: the configuration file is that of --config)"
		}
		return fmt.Errorf("want no argument, got %q%s", args[0], hint)
	case n < required && n == 0:
		return fmt.Errorf("want %s, got no argument", strings.Join(all, " "))
	case n < required || n > len(all):
		return fmt.Errorf("want %s, got %s: %q", strings.Join(all, " "), english.Plural(n, "argument", ""), args)
	}
	return nil
}

// OneOf accepts a command line with exactly one of several flags.
func OneOf(flags ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, _ []string) error {
		given := given(cmd, flags)
		if len(given) == 1 {
			return nil
		}
		return fmt.Errorf("want one of %s, got %s", english.WordSeries(dashed(flags), "and"), got(given))
	}
}

// AtMostOneOf accepts a command line with one of several flags, or none.
func AtMostOneOf(flags ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, _ []string) error {
		if given := given(cmd, flags); len(given) > 1 {
			return fmt.Errorf("%s exclude each other", english.WordSeries(given, "and"))
		}
		return nil
	}
}

// Together accepts a command line with all of several flags, or none.
func Together(flags ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, _ []string) error {
		if given := given(cmd, flags); len(given) > 0 && len(given) < len(flags) {
			return fmt.Errorf("want %s together, got only %s", english.WordSeries(dashed(flags), "and"), english.WordSeries(given, "and"))
		}
		return nil
	}
}

// Needs accepts a command line with some flags only if it has another one, without which
// they have no effect.
func Needs(needed string, flags ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, _ []string) error {
		if given := given(cmd, flags); len(given) > 0 && !cmd.Flags().Changed(needed) {
			return fmt.Errorf("%s can be used only with --%s", english.WordSeries(given, "and"), needed)
		}
		return nil
	}
}

// Required accepts a command line with a flag.
func Required(flag string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, _ []string) error {
		f := cmd.Flags().Lookup(flag)
		_, usage := pflag.UnquoteUsage(f)
		switch {
		case !f.Changed:
			return fmt.Errorf("--%s is missing (%s)", flag, usage)
		case f.Value.Type() == "string" && f.Value.String() == "":
			return fmt.Errorf("--%s is empty (%s)", flag, usage)
		}
		return nil
	}
}

func dashed(flags []string) (names []string) {
	for _, flag := range flags {
		names = append(names, "--"+flag)
	}
	return names
}

// given returns the flags that the command line has.
func given(cmd *cobra.Command, flags []string) (names []string) {
	for _, flag := range flags {
		if cmd.Flags().Changed(flag) {
			names = append(names, "--"+flag)
		}
	}
	return names
}

func got(given []string) string {
	if len(given) == 0 {
		return "none"
	}
	return english.WordSeries(given, "and")
}

// OnlyCommands refuses arguments of a command that has only subcommands, and suggests the
// nearest subcommand.
func OnlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // as cobra does where it suggests itself
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = " (hint: did you mean " + strings.Join(near, " or ") + "?)"
	}
	return fmt.Errorf("unknown command %q%s", args[0], hint)
}
