package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCheckConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check-config",
		Short: "Check the configuration and all files it names",
		Long: `Reads the configuration, the htpasswd files, the certificates and the client CAs
as serve would, and reports everything that is wrong, with file, line and key. It
exits with 0 if serve would start, or take the files over, and with 1 if not. It
opens no port and no log, and does not connect to etcd.`,
		Args: cobra.NoArgs,
	}
	file := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		state, _, err := (&loader{file: *file}).load(nil)
		if err != nil {
			return err
		}
		defer state.snapshot.Upstream.Close()
		out := cmd.OutOrStdout()
		for _, warning := range state.warnings {
			fmt.Fprintf(out, "%s: warning: %s\n", *file, warning)
		}
		fmt.Fprintf(out, "%s: good: %d rules, %d users with a password\n", *file, len(state.config.ACLs), state.snapshot.Users.Len())
		return nil
	}
	return cmd
}
