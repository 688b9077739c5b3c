package main

import (
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/hashing"
)

// newHashWorker is what serve starts to compare passwords; nobody types it.
func newHashWorker() *cobra.Command {
	return &cobra.Command{
		Use:    hashing.Verb,
		Short:  "Compare passwords for serve, through a pipe",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// These are meant for the service, which answers logins while it drains.
			signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
			return hashing.Serve(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}
