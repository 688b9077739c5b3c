// Command etcd-tlsproxy-demo shows the proxy at work on one machine with nothing
// installed: it starts an etcd of its own, makes a certificate authority and two
// users, puts the proxy before the etcd, and prints commands to try.
//
//	go run ./cmd/etcd-tlsproxy-demo
//
// The users are root with the password root-demo and conftool with
// conftool-demo; the table is the one the operators' manual begins with. All of
// it ends with ctrl-C.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newDemo()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "etcd-tlsproxy-demo: %v\n", err)
		return 1
	}
	return 0
}

func newDemo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "etcd-tlsproxy-demo",
		Short: "Show etcd-tlsproxy before an etcd of its own",
		Long: `Starts an etcd with the v2 API, a certificate authority, two users and the proxy
before the etcd, all on this machine's loopback, and prints commands to try.
Ctrl-C ends all of it.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	listen := cmd.Flags().String("listen", "127.0.0.1:4001", "`address` of the HTTPS front end")
	dir := cmd.Flags().String("dir", "", "`folder` for the CA (ca.crt) and etcd's data; it is kept (default: a temporary one, removed at exit)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		where := *dir
		if where == "" {
			if where, err = os.MkdirTemp("", "etcd-tlsproxy-demo-"); err != nil {
				return fmt.Errorf("making a folder: %w", err)
			}
			defer os.RemoveAll(where)
		} else if err := os.MkdirAll(where, 0o700); err != nil {
			return fmt.Errorf("making a folder: %w", err)
		}
		return show(cmd.Context(), *listen, where, cmd.OutOrStdout())
	}
	return cmd
}
