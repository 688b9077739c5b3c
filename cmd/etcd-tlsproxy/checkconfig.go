package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
)

func newCheckConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check-config",
		Short: "Check the configuration and all files it names",
		Long: `Reads the configuration, the htpasswd files, the certificates and the client CAs
like serve, and reports everything that is wrong, with file, line and key. The exit
status is 0 if serve would start with these files, or reload them, and 1 if not.

Warnings, for example about a user in a rule whom no file has, do not stop a service:
it must be able to apply the removal of a user. With --strict they are errors, except
those that depend on this machine or on the time. Use that where a table is written, as
in CI.

It opens no port and no log, does not connect to etcd, and needs no network, except for
the name of a host in listen or admin. What would make only a start fail, such as an
address that this machine does not have, or a folder of a log that does not exist, is a
warning, so that it never prevents a reload. With --start it is an error, and the
command also listens on both addresses for a moment. That fails while the service runs.

Root can read files that the service's user cannot. With --as the command checks them
with the rights of that user, like runuser -u USER.

With --show it writes all settings with their defaults, and the line or "default" behind
each. A running service shows those that are in force at /-/config of its admin address.
It also says what one client can hold of everything that clients share.

With --resolve it looks up the endpoints of upstream.srv in DNS, and prints them, the
preferred first.`,
		Args: console.Arguments,
	}
	file := flags.Config(cmd)
	strict := cmd.Flags().Bool("strict", false, "exit with status 1 if there are warnings")
	resolve := cmd.Flags().Bool("resolve", false, "look up the endpoints of upstream.srv in DNS")
	start := cmd.Flags().Bool("start", false, "also check that the service could start now: its addresses and logs")
	show := cmd.Flags().Bool("show", false, "write the settings that are in force, and where each comes from; everything else goes to stderr")
	as := cmd.Flags().String("as", "", "check with the rights of this `user`, that of the service; for root")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *as != "" {
			return repeatAs(cmd, *as)
		}
		report, err := daemon.Check(cmd.Context(), daemon.CheckOptions{File: *file, Resolve: *resolve, Start: *start})
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if *show {
			out = cmd.ErrOrStderr()
		}
		for _, warning := range slices.Concat(report.Warnings, report.Local) {
			fmt.Fprintf(out, "%s: warning: %s\n", *file, warning)
		}
		if *strict && len(report.Warnings) > 0 {
			return fmt.Errorf("%s: warnings: %d, want none with --strict", *file, len(report.Warnings))
		}
		if report.Origin != "" {
			fmt.Fprintf(out, "%s: %s\n", *file, report.Origin)
		}
		switch {
		case report.SRV == "":
		case *resolve:
			for _, endpoint := range report.Found {
				fmt.Fprintf(out, "%s: upstream.srv: found %s\n", *file, endpoint)
			}
		default:
			fmt.Fprintf(out, "%s: upstream.srv: not looked up in DNS (hint: add --resolve)\n", *file)
		}
		fmt.Fprintf(out, "%s: good: %s, %s with a password\n", *file, english.Plural(report.Rules, "rule", ""), english.Plural(report.Users, "user", ""))
		if *show {
			for i := range report.Shares {
				fmt.Fprintf(out, "%s: one client can hold, while no other wants it: %s\n", *file, &report.Shares[i])
			}
			return report.Show(cmd.OutOrStdout())
		}
		return nil
	}
	return cmd
}

// repeatAs runs the command once more, as another user and without --as. Only the system
// knows everything that decides about a user's rights.
func repeatAs(cmd *cobra.Command, name string) error {
	credential, err := credentialOf(name)
	if err != nil {
		return err
	}
	args := []string{cmd.Name()}
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if flag.Name != "as" {
			args = append(args, "--"+flag.Name+"="+flag.Value.String())
		}
	})
	again := exec.CommandContext(cmd.Context(), "/proc/self/exe", args...)
	again.Args[0] = cmd.Root().Name()
	again.Stdout, again.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
	again.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	err = again.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return &console.ExitError{Code: exit.ExitCode()}
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("--as %s: %w (hint: only root can take the rights of another user)", name, err)
	}
	return err
}

// credentialOf returns the ids of a user and of all the user's groups.
func credentialOf(name string) (*syscall.Credential, error) {
	found, err := user.Lookup(name)
	var unknown user.UnknownUserError
	switch {
	case errors.As(err, &unknown):
		return nil, fmt.Errorf("--as: this machine has no user %q (hint: the service's user is that of User= in its unit)", name)
	case err != nil:
		return nil, fmt.Errorf("--as: %w", err)
	}
	groups, err := found.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("--as: %w", err)
	}
	var ids []uint32
	for _, text := range append([]string{found.Uid, found.Gid}, groups...) {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("--as: reading the ids of %s: %w", name, err)
		}
		ids = append(ids, uint32(id))
	}
	return &syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: ids[2:]}, nil
}
