package main

import (
	"fmt"
	"io"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/recovery"
)

func newRestoreMember() *cobra.Command {
	var m recovery.MemberRestore
	cmd := &cobra.Command{
		Use:   "restore-member",
		Short: "Make a member's data folder from a backup of a v3 store",
		Long: `Makes the data folder of a member that is alone in a new cluster, from a backup of a v3
store. It changes nothing else. The script of recover runs this command on the first
machine before it stops anything.

etcdutl restores the snapshot. Then an etcd that only this program can reach is started
on the result. Its tree of keys must be that of the snapshot. The command then raises
the indexes: the next write gets an index above that of the backup by at least
--raise-indexes. No client may have seen a later one. The etcdutl of etcd 3.6 raises the
revisions of the store as well; with older tools only the tree of the v2 API continues
above.

A snapshot of a full store has the alarm of etcd, which refuses writes. The command then
compacts and defragments the restored store, and disarms the alarm.

With etcd's authentication, --user and --password-file are those of a user of etcd with
the role root.`,
		Example: `  etcd-tlsproxy restore-member --backup /srv/backup/etcd/etcd-20261124T020000Z --into /root/restored \
    --name conf1001 --peer-url http://conf1001.example.org:2380 --initial-cluster-token recovered-1 --raise-indexes 1000000000`,
		Args: cobra.MatchAll(console.Arguments, console.Required("backup"), console.Required("into"), console.Required("name"),
			console.Required("peer-url"), console.Required("initial-cluster-token"), console.Required("raise-indexes"),
			func(*cobra.Command, []string) error { return recovery.CheckURL(m.PeerURL) }),
	}
	term := console.New(cmd)
	var login cluster.Connection
	f := cmd.Flags()
	f.StringVar(&m.Backup, "backup", "", "`folder` of a backup of a v3 store")
	f.StringVar(&m.Into, "into", "", "data `folder` to make")
	f.StringVar(&m.Name, "name", "", "`name` of the member")
	f.StringVar(&m.PeerURL, "peer-url", "", "`URL` of the member for other members")
	f.StringVar(&m.Token, "initial-cluster-token", "", "`text` that makes the id of the new cluster another one than any before")
	f.Uint64Var(&m.Raise, "raise-indexes", 0, "`number` that is added to the indexes")
	f.StringVar(&m.Etcd, "etcd", "", "`path` of etcd (default: from PATH)")
	f.StringVar(&m.Tool, "etcdctl", "", "`path` of etcdutl, or of etcdctl before etcd 3.6 (default: from PATH)")
	flags.EtcdLogin(f, &login)
	for _, name := range []string{"backup", "into", "name", "peer-url", "initial-cluster-token", "raise-indexes"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic("BUG: the flag was added above: " + err.Error())
		}
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if m.User, m.Password, err = login.Login(); err != nil {
			return err
		}
		progress := term.Progress("bytes of the backup read", -1)
		made, err := m.Run(cmd.Context(), progress.Add)
		progress.Done()
		if err != nil {
			return err
		}
		result := struct {
			Path    string `json:"path"`
			Cluster string `json:"cluster_id"`
			Member  string `json:"member_id"`
			Keys    int    `json:"keys"`
			Index   uint64 `json:"index"`
			Bumped  bool   `json:"revisions_raised"`
		}{m.Into, made.Cluster.String(), made.Member.String(), made.Tree.Files, made.Tree.Index, made.Bumped}
		return term.Print(&result, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s is the data folder of %s, alone in the new cluster %s: %s, index %d\n", result.Path, m.Name, result.Cluster, english.Plural(result.Keys, "key", ""), result.Index)
			return err
		})
	}
	return cmd
}
