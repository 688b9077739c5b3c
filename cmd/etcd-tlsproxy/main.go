// Command etcd-tlsproxy is an HTTPS front end for etcd's v2 API. It ends TLS,
// knows its clients by password or client certificate, decides by a table of key
// prefixes who may read and write what, and forwards what is allowed to etcd.
//
//	etcd-tlsproxy serve --config /etc/etcd-tlsproxy/etcd-tlsproxy.toml
//	etcd-tlsproxy check-config --config /etc/etcd-tlsproxy/etcd-tlsproxy.toml
//	etcd-tlsproxy explain --user conftool --method PUT /conftool/v1/x
//
// It also builds clusters, looks after them and changes them: bootstrap, srv,
// cluster-health and member.
//
// The configuration is described at [Config].
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: ctx ends with the signal to stop. It returns the exit
// status: 0 if all went well, 1 if not, 2 if the command line was wrong, or what a
// verb that has its own says.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	started := false
	var exit *console.ExitError
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		started = cmd.ValidateRequiredFlags() == nil && cmd.ValidateFlagGroups() == nil // which cobra finds only later
	}
	command, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	case !started: // it is the command line that is wrong
		fmt.Fprintf(stderr, "%s: %v\nRun '%[1]s --help' for usage.\n", command.CommandPath(), err)
		return 2
	}
	separator := " "
	if strings.Contains(err.Error(), "\n") {
		separator = "\n" // a list, each with its file and line
	}
	fmt.Fprintf(stderr, "%s:%s%v\n", command.CommandPath(), separator, err)
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "etcd-tlsproxy",
		Short: "An HTTPS front end for etcd's v2 API",
		Long: `etcd-tlsproxy stands before an etcd member. It ends TLS, knows its clients by
password or client certificate, decides by a table of key prefixes who may read
and write what, and forwards what is allowed to etcd's v2 API. Its other commands
build, check, back up and recover the clusters behind it.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	addGroup(root, "Serve", newServe(), newCheckConfig())
	addGroup(root, "Rules and users", newExplain(), newPasswd(), newImport())
	addGroup(root, "Clusters", newBootstrap(), newSRV(), newClusterHealth(), newMember())
	addGroup(root, "Data", newBackup(), newRecover(), newDump(), newLoad())
	root.AddCommand(newVersion(), newMan())
	return root
}

// addGroup adds verbs that the help shows together.
func addGroup(root *cobra.Command, title string, verbs ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title + ":"})
	for _, verb := range verbs {
		verb.GroupID = title
	}
	root.AddCommand(verbs...)
}

// defaultConfigFile is where the packages install the configuration.
const defaultConfigFile = "/etc/etcd-tlsproxy/etcd-tlsproxy.toml"

func configFlag(cmd *cobra.Command) *string {
	file := cmd.Flags().StringP("config", "c", defaultConfigFile, "configuration `file`")
	if err := cmd.MarkFlagFilename("config", "toml"); err != nil {
		panic("BUG: the flag was added above: " + err.Error())
	}
	return file
}
