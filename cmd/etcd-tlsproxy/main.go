// Command etcd-tlsproxy is an HTTPS front end for etcd's v2 API. It terminates TLS,
// authenticates clients by password or client certificate, authorizes each request
// by a table of key prefixes, and forwards what is allowed to etcd.
//
//	etcd-tlsproxy serve --config /etc/etcd-tlsproxy/etcd-tlsproxy.toml
//	etcd-tlsproxy check-config --config /etc/etcd-tlsproxy/etcd-tlsproxy.toml
//	etcd-tlsproxy explain --user conftool --method PUT /conftool/v1/x
//
// Other commands edit password files, build, check and change clusters, and back up
// and restore their data. Each command is in the file of its name. The configuration
// is described in package internal/config, and the service is package internal/daemon.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/migrate"
	"etcd-tlsproxy/cmd/internal/usage"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program. ctx ends when the signal to stop arrives. run returns the exit
// status: 0 after a success, or one of those of package console.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	started := false
	var exit *console.ExitError
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := errors.Join(refuseEmpty(cmd), fromEnvironment(cmd)); err != nil {
			return err
		}
		started = cmd.ValidateRequiredFlags() == nil && cmd.ValidateFlagGroups() == nil // cobra checks them only later
		return nil
	}
	command, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	case !started || usage.Status(err) == usage.Wrong:
		if slices.Contains(args, "--nagios") { // Icinga takes 2 for critical, and shows standard output
			fmt.Fprintf(stdout, "ETCD %s - %v\n", cluster.Unknown, err)
			return int(cluster.Unknown)
		}
		fmt.Fprintf(stderr, "%s: %v\nRun '%[1]s --help' for usage.\n", command.CommandPath(), err)
		return console.ExitUsage
	}
	separator := " "
	if strings.Contains(err.Error(), "\n") {
		separator = "\n" // a list of errors, each with file and line
	}
	fmt.Fprintf(stderr, "%s:%s%v\n", command.CommandPath(), separator, err)
	if errors.Is(err, console.ErrNotConfirmed) {
		return console.ExitPlanned
	}
	return console.ExitFailure
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "etcd-tlsproxy",
		Short: "An HTTPS front end for etcd's v2 API",
		Long: `etcd-tlsproxy is an HTTPS front end for an etcd member. It terminates TLS,
authenticates clients by password or client certificate, authorizes each request by
a table of key prefixes, and forwards what is allowed to etcd's v2 API. Its other
commands build, check, back up and recover the clusters behind it.

The commands that connect to etcd read defaults from the environment:
ETCD_TLSPROXY_ENDPOINTS, ETCD_TLSPROXY_CA_FILE, ETCD_TLSPROXY_USERNAME and
ETCD_TLSPROXY_PASSWORD_FILE.

etcd-tlsproxy-manual(7) is the operator's manual. Its section "Where the answer is" has
the place of each answer: why a request was refused, which limit is near, how to get
back. etcd-tlsproxy.toml(5) describes the settings.

The exit status of every command is 0 after a success, 1 after a failure or if a
problem was found, 2 for a wrong command line, 3 if the answer is no, and 4 if only the
plan was printed because --yes is missing.`,
		Version:       version(),
		Args:          console.OnlyCommands,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	addGroup(root, "Serve", newServe(), newCheckConfig(), newReady())
	addGroup(root, "Rules and users", newExplain(), newPasswd(), newImport())
	addGroup(root, "Clusters", newBootstrap(), newSRV(), newClusterHealth(), newMember())
	addGroup(root, "Data", newBackup(), newRecover(), newCheckMember(), newRestoreMember(), newDump(), newLoad(), migrate.New())
	root.AddCommand(newVersion(), newMan())
	root.SetVersionTemplate(versionLine() + "\n")
	root.SetFlagErrorFunc(console.FlagError)
	root.SetHelpCommand(newHelp())
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.Args = console.OnlyCommands
		completion.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	return root
}

// newHelp replaces the library's command, which ignores what it does not know.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		Args: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			return console.OnlyCommands(target, rest)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			if target, _, err := cmd.Root().Find(args); err == nil {
				for _, sub := range target.Commands() {
					if sub.IsAvailableCommand() {
						names = append(names, sub.Name())
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			target, _, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			return target.Help()
		},
	}
}

// addGroup adds commands that the help lists together.
func addGroup(root *cobra.Command, title string, verbs ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title + ":"})
	for _, verb := range verbs {
		verb.GroupID = title
	}
	root.AddCommand(verbs...)
}
