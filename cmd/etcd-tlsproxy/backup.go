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
		Long: `Copies the v2 store and the log of the etcd member on this machine into a new folder
below --dir, and then removes the oldest backups that this command made. The member
keeps serving. etcdctl (etcd 3.4) or etcdutl (etcd 3.5) makes the copy.

With upstream.api = "v3" in the configuration the keys are in etcd's v3 store, and the
backup is a snapshot, snapshot.db. It has all keys of that store. The command asks
the members that the configuration names for it, or those of --endpoints, which must be
etcd itself and not its proxy. It then reads the file: its checksum, its database, and
the tree of keys. The options about the data folder have no effect, except with
--offline, which takes the snapshot from an etcd on a copy of the folder of a stopped
member. With etcd's authentication, --user must have the role root. --verify restores the
snapshot with etcdutl (etcd 3.6), and starts an etcd on the result. The rest of this text is
about the v2 store, except for rotation and metrics.

Before the copy, the command does a quorum read through the member. Otherwise the copy
could lack the newest writes, because the log records only later that they are
committed.

A backup is a folder etcd-TIME with etcd's files in member/, a manifest.json and
SHA256SUMS (check it with sha256sum -c). A folder with another name is incomplete. If
anything fails, no new backup stays and no old one is removed. Hidden keys (_name) are
in the backup, but are not counted or compared, because etcd does not list them.

--verify copies the new backup, starts an etcd on the copy that only this program can
reach, and compares its keys with those of the member. Keys that were written in the
meantime are not compared. For some seconds the copy needs as much disk space as the
backup.

--metrics-file writes a file for the textfile collector of Prometheus' node exporter.
After a failure the file keeps the time of the last success, and
etcd_tlsproxy_backup_last_attempt_failed is 1.`,
		Example: `  etcd-tlsproxy backup --data-dir /var/lib/etcd/default --dir /srv/backup/etcd --verify \
    --metrics-file /var/lib/prometheus/node.d/etcd-backup.prom`,
		Args: noArguments,
	}
	cmd.AddCommand(newBackupList(), newBackupVerify())
	term := console.New(cmd)
	b := &recovery.Backup{Note: term.NoteText, Progress: term.ReportProgress, Now: time.Now}
	connectionFlags(cmd, &b.Connection)
	file := configFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&b.DataDir, "data-dir", "/var/lib/etcd/default", "etcd's data `folder`")
	f.StringVar(&b.WALDir, "wal-dir", "", "`folder` of etcd's log, if etcd runs with --wal-dir")
	f.StringVar(&b.Folder, "dir", "/srv/backup/etcd", "`folder` of the backups; it is created if its parent exists")
	f.IntVar(&b.Keep, "keep", 7, "number of backups to keep, including the new one; 0 keeps all")
	f.BoolVar(&b.Verify, "verify", false, "start an etcd on a copy of the backup, and compare its keys")
	f.BoolVar(&b.WithV3, "with-v3", false, "also copy the v3 store; the member must be stopped, and --offline then implies it")
	f.BoolVar(&b.Offline, "offline", false, "copy the folder of a member that is stopped or has no quorum")
	f.StringVar(&b.MetricsFile, "metrics-file", "", "`file` to write metrics to, as in NAME.prom")
	f.StringVar(&b.Tool, "etcdctl", "", "`path` of etcdutl, or of etcdctl before etcd 3.6 (default: from PATH)")
	f.StringVar(&b.Etcd, "etcd", "", "`path` of etcd, for --verify (default: from PATH)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if b.Store, err = storeToSave(cmd, *file, &b.Connection); err != nil {
			return err
		}
		result, err := b.Run(cmd.Context())
		if err != nil {
			return err
		}
		return term.Print(result, result.Text)
	}
	return cmd
}
