package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spf13/cobra/doc"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the man pages into a folder",
		Long: `Writes a man page of section 8 for the program and one for each of its commands
into DIR, which must exist. The build of the packages uses it.`,
		Args: console.Arguments,
		RunE: func(cmd *cobra.Command, args []string) error { return writePages(cmd.Root(), args[0]) },
	}
}

// writePages writes the page of a command and those of its subcommands.
func writePages(cmd *cobra.Command, folder string) error {
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
			if err := writePages(sub, folder); err != nil {
				return err
			}
		}
	}
	// The date would make each build of one version different.
	cmd.DisableAutoGenTag = true
	long := cmd.Long
	cmd.Long = manText(long)
	defer func() { cmd.Long = long }()
	var page bytes.Buffer
	if err := doc.GenMan(cmd, &doc.GenManHeader{Section: "8", Source: "etcd-tlsproxy", Manual: "etcd-tlsproxy"}, &page); err != nil {
		return fmt.Errorf("generating the man page of %s: %w", cmd.CommandPath(), err)
	}
	before, after, _ := strings.Cut(page.String(), ".SH SEE ALSO")
	if after != "" {
		after = seeAlso + strings.TrimPrefix(after, "\n")
	}
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".8"
	return os.WriteFile(filepath.Join(folder, name), []byte(before+exitStatus+after), 0o644)
}

// seeAlso is the beginning of the last section of every page: the pages that are not those of
// commands.
const seeAlso = `.SH SEE ALSO
\fBetcd-tlsproxy-manual(7)\fP, \fBetcd-tlsproxy.toml(5)\fP,
`

// exitStatus is a section of every page.
const exitStatus = `.SH EXIT STATUS
.TP
0
The command succeeded.
.TP
1
It failed, or found a problem.
.TP
2
The command line is wrong.
.TP
3
The command worked, and its answer is no: refused, wrong, or not without conflicts.
.TP
4
Only the plan was printed, because \-\-yes is missing.
.PP
cluster-health \-\-nagios exits with the statuses of Icinga plugins. A wrong command line is UNKNOWN, 3.
`

// manText returns a description as Markdown, which the generator of man pages expects.
// Indented lines are tables, whose line breaks count. In others, no character is markup.
func manText(long string) string {
	var b strings.Builder
	table := false
	for line := range strings.Lines(long) {
		indented := strings.HasPrefix(line, "  ")
		if indented != table {
			b.WriteByte('\n')
		}
		table = indented || table && line == "\n"
		if indented {
			b.WriteString("    " + line)
			continue
		}
		b.WriteString(markup.Replace(line))
	}
	return b.String()
}

var markup = strings.NewReplacer(`\`, `\\`, "_", `\_`, "*", `\*`, "`", "\\`", "<", `\<`, "[", `\[`)
