package main

import (
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/recovery"
)

func newBackup() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Take a backup of an etcd member",
		Long: `Copies the v2 store and the log of the member on this machine, which goes on
serving, into a new folder below --dir, and removes the oldest of the backups it
made itself. etcdctl (etcd 3.4) or etcdutl (3.5) does the copying.

Before, it reads through the member with a quorum: a copy of a member's files alone
can lack the newest writes, since the log says only later that they are committed.

A backup is a folder etcd-TIME with etcd's files in member/, a manifest.json and
SHA256SUMS (sha256sum -c checks them). What does not have that name is not whole.
If anything fails, nothing new stays and nothing old goes. Hidden keys (_name) are
in the backup; they are not counted or compared, since etcd does not list them.

--verify starts an etcd on a copy of the new backup, reachable by this program
alone, and compares its keys with the member's, but for those that were written
meanwhile. It takes as much room on the disk again, for some seconds.

--metrics-file is for the textfile collector of Prometheus' node exporter. After a
failure the time of the last success stays, and etcd_tlsproxy_backup_last_attempt_failed
is 1.`,
		Example: `  etcd-tlsproxy backup --data-dir /var/lib/etcd/default --dir /srv/backup/etcd --verify \
    --metrics-file /var/lib/prometheus/node.d/etcd-backup.prom`,
		Args: cobra.NoArgs,
	}
	term := console.New(cmd)
	b := &recovery.Backup{Note: term.NoteText, Progress: term.ReportProgress, Now: time.Now}
	connectionFlags(cmd, &b.Connection)
	f := cmd.Flags()
	f.StringVar(&b.DataDir, "data-dir", "/var/lib/etcd/default", "etcd's data `folder`")
	f.StringVar(&b.WALDir, "wal-dir", "", "`folder` of etcd's log, if etcd has a --wal-dir")
	f.StringVar(&b.Folder, "dir", "/srv/backup/etcd", "`folder` for the backups; it is made if the one above exists")
	f.IntVar(&b.Keep, "keep", 7, "how many backups stay, the new one included; 0 is all")
	f.BoolVar(&b.Verify, "verify", false, "start an etcd on a copy and compare its keys")
	f.BoolVar(&b.WithV3, "with-v3", false, "copy the v3 store, too: the member must be stopped")
	f.BoolVar(&b.Offline, "offline", false, "copy the folder of a member that does not run or has no quorum")
	f.StringVar(&b.MetricsFile, "metrics-file", "", "`file` to write metrics into, as in NAME.prom")
	f.StringVar(&b.Tool, "etcdctl", "", "`path` of etcdctl or etcdutl (default: from PATH)")
	f.StringVar(&b.Etcd, "etcd", "", "`path` of etcd, for --verify (default: from PATH)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		result, err := b.Run(cmd.Context())
		if err != nil {
			return err
		}
		return term.Print(result, result.Text)
	}
	return cmd
}
