package main

import (
	"fmt"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
)

func newCheckConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check-config",
		Short: "Check the configuration and all files it names",
		Long: `Reads the configuration, the htpasswd files, the certificates and the client CAs
like serve, and reports everything that is wrong, with file, line and key. The exit
status is 0 if serve would start with these files, or reload them, and 1 if not.

Warnings, for example about a user in a rule whom no file has, do not stop a service:
it must be able to apply the removal of a user. With --strict they are errors. Use that
where a table is written, as in CI.

It opens no port and no log, does not connect to etcd, and needs no network. With
--resolve it looks up the endpoints of upstream.srv in DNS, and prints them, the
preferred first.`,
		Args: cobra.NoArgs,
	}
	file := configFlag(cmd)
	strict := cmd.Flags().Bool("strict", false, "exit with status 1 if there are warnings")
	resolve := cmd.Flags().Bool("resolve", false, "look up the endpoints of upstream.srv in DNS")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		report, err := daemon.Check(cmd.Context(), *file, *resolve)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		for _, warning := range report.Warnings {
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
		return nil
	}
	return cmd
}
