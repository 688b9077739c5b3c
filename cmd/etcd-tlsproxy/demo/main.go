// Command demo runs the proxy on a machine on which nothing is installed.
// It starts an etcd that is linked in, makes a certificate authority and two users,
// starts the service in front of the etcd, and prints the address of the status page and
// commands to try: a read, a write, a refused write and its reason, and a watch.
//
//	go run ./cmd/etcd-tlsproxy/demo
//
// With --api v3 the proxy keeps the keys in the v3 store of that etcd.
//
// The users are root with the password root-demo, and conftool with conftool-demo. root
// may write everywhere, conftool below /conftool, and everyone below /eventlogging.
// Everything ends with Ctrl-C.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/internal/tool"
	"etcd-tlsproxy/cmd/internal/usage"
)

func main() { os.Exit(tool.Main(newDemo())) }

func newDemo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run etcd-tlsproxy in front of an etcd of its own",
		Long: `Starts an etcd with the v2 API and the proxy in front of it, with a certificate
authority and two users that it creates, and prints commands to try. Everything stays on
loopback. Ctrl-C ends the demo.`,
		Args:          func(cmd *cobra.Command, args []string) error { return usage.Mark(cobra.NoArgs(cmd, args)) },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage.Mark(err) })
	listen := cmd.Flags().String("listen", "127.0.0.1:4001", "`address` of the HTTPS front end")
	admin := cmd.Flags().String("admin", "127.0.0.1:4002", "`address` of the status page and of the metrics")
	open := cmd.Flags().Bool("open", false, "open the status page in a browser")
	dir := cmd.Flags().String("dir", "", "`folder` for the configuration, the CA (ca.crt) and etcd's data, which is kept (default: a temporary one, which is removed at exit)")
	api := cmd.Flags().String("api", "v2", "the API of etcd that has the keys: v2 or v3")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if *api != "v2" && *api != "v3" {
			return usage.Mark(fmt.Errorf("--api %q is not an API of etcd, want v2 or v3", *api))
		}
		folder := *dir
		if folder == "" {
			if folder, err = os.MkdirTemp("", "etcd-tlsproxy-demo-"); err != nil {
				return fmt.Errorf("making a folder: %w", err)
			}
			defer os.RemoveAll(folder)
		} else if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("making a folder: %w", err)
		}
		d := &demo{listen: *listen, admin: *admin, dir: folder, api: *api, open: *open, stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()}
		return d.show(cmd.Context())
	}
	return cmd
}
