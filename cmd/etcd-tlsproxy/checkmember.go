package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
)

func newCheckMember() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check-member",
		Short: "Check that recover understands how etcd runs on this machine",
		Long: `Reads systemd's description of etcd's unit, its environment files and its command
line, and checks that the member has the given name and folders, and that nothing else
says where its data is. The script of recover runs this command on each machine before
it changes anything.

A recovery that did not know a folder of etcd, such as that of --wal-dir, would ruin the
old data. Therefore this command refuses everything that it does not know: a unit that
starts etcd through a shell or in a container, a configuration file of etcd, commands
before or after etcd, folders that only the unit sees, and unknown options.

It changes nothing. The exit status is 0 if the member runs as given, and 1 if not.`,
		Example: `  etcd-tlsproxy check-member --name conf1001 --data-dir /var/lib/etcd/default
  etcd-tlsproxy check-member --name conf1001 --data-dir /var/lib/etcd/default --wal-dir /srv/etcd/wal`,
		Args: cobra.MatchAll(console.Arguments, console.Required("name")),
	}
	m := &memberhost.Member{}
	f := cmd.Flags()
	f.StringVar(&m.Unit, "etcd-service", "etcd.service", "systemd's `unit` of etcd")
	f.StringVar(&m.Name, "name", "", "`name` of the member")
	f.StringVar(&m.DataDir, "data-dir", "/var/lib/etcd/default", "etcd's data `folder`")
	f.StringVar(&m.WALDir, "wal-dir", "", "`folder` of etcd's log, if it is outside of the data folder")
	if err := cmd.MarkFlagRequired("name"); err != nil {
		panic("BUG: the flag was added above: " + err.Error())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := m.CheckUnit(cmd.Context()); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s runs the member %s as given\n", m.Unit, m.Name)
		return nil
	}
	return cmd
}
