package main

import (
	"fmt"
	"hash/maphash"

	"github.com/spf13/cobra"
)

func newCheckConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check-config",
		Short: "Check the configuration and all files it names",
		Long: `Reads the configuration, the htpasswd files, the certificates and the client CAs
as serve would, and reports everything that is wrong, with file, line and key. It
exits with 0 if serve would start, or take the files over, and with 1 if not. It
opens no port and no log, and does not connect to etcd. It needs no network:
endpoints that are to be found in DNS (upstream.srv) are asked for only with
--resolve, which tells what was found, the preferred first.`,
		Args: cobra.NoArgs,
	}
	file := configFlag(cmd)
	resolve := cmd.Flags().Bool("resolve", false, "ask DNS for the endpoints of upstream.srv")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loader := &loader{file: *file, draw: maphash.MakeSeed()}
		state, _, err := loader.read(nil)
		if err != nil {
			return err
		}
		if *resolve {
			if err := loader.discover(cmd.Context(), state, nil); err != nil {
				return err
			}
		}
		out := cmd.OutOrStdout()
		for _, warning := range state.warnings {
			fmt.Fprintf(out, "%s: warning: %s\n", *file, warning)
		}
		switch {
		case state.config.Upstream.SRV == "":
		case *resolve:
			for _, endpoint := range state.endpoints {
				fmt.Fprintf(out, "%s: upstream.srv: found %s\n", *file, endpoint)
			}
		default:
			fmt.Fprintf(out, "%s: upstream.srv: DNS was not asked, which --resolve does\n", *file)
		}
		fmt.Fprintf(out, "%s: good: %d rules, %d users with a password\n", *file, len(state.config.ACLs), state.snapshot.Users.Len())
		return nil
	}
	return cmd
}
