package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the front end",
		Long: `Runs the front end until SIGTERM or SIGINT. It then drains: the readiness check
fails, no connection is accepted, running requests finish, watches are ended so that
their clients connect to another member, and the program exits with status 0.

If the service manager passes sockets (systemd.socket), they replace the configured
addresses: the socket with FileDescriptorName=admin replaces admin, all others replace
listen. They stay open while a new process replaces the old one, so that an upgrade
refuses no connection. The service reports its start, its reloads and its stop to the
manager (Type=notify or notify-reload), and feeds the manager's watchdog (WatchdogSec=).

Changes of the configuration, the htpasswd files, the certificates and the client CAs
take effect within two seconds, and at once on SIGHUP or on POST /-/reload at the
admin address. A reload applies three parts, each as a whole or not at all: the
certificates and client CAs; the users, rules and surfaces; and all other settings. What
is wrong stays in force as before, is logged, and delays no other part. A changed
setting that needs a restart waits for it. SIGHUP also reopens the log files.

If etcd's endpoints are found in DNS (upstream.srv), changed records take effect within
upstream.srv_refresh, and at once at each reload. If the lookup fails, the endpoints
that were found before stay in use.`,
		Args: console.Arguments,
	}
	file := flags.Config(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if runtime.GOOS != "linux" {
			return fmt.Errorf("serve needs Linux, and this is %s (hint: the commands for operators run here)", runtime.GOOS)
		}
		// Register before anything is loaded: by default SIGHUP ends the process.
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		// By default a write to a log whose reader is gone, such as a crashed journal, ends
		// the process. Ignored, it only fails.
		signal.Ignore(syscall.SIGPIPE)
		return daemon.Run(cmd.Context(), daemon.Options{
			File: *file, Version: version(), Hangup: hangup, Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
		})
	}
	return cmd
}
