package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
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
		Args: console.OnlyCommands,
	}
	cmd.AddCommand(newBackupList(), newBackupVerify())
	term := console.New(cmd)
	b := &recovery.Backup{Note: term.NoteText, Progress: term.ReportProgress, Now: time.Now}
	flags.Connection(cmd, &b.Connection)
	file := flags.Config(cmd)
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

func newBackupList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the backups in a folder",
		Long: `Lists the backups in a folder, the newest first, with time, size and number of keys,
and whether their keys were verified when they were made: nothing was read since. It checks that every file
exists and has its size. "backup verify" reads them.

The exit status is 1 if there is no backup without a problem.`,
		Example: `  etcd-tlsproxy backup list --dir /srv/backup/etcd`,
		Args:    console.Arguments,
	}
	term := console.New(cmd)
	folder := cmd.Flags().String("dir", "/srv/backup/etcd", "`folder` of the backups")
	cmd.RunE = func(*cobra.Command, []string) error {
		found, err := recovery.List(*folder)
		if err != nil {
			return err
		}
		good := false
		err = term.Print(found, func(w io.Writer) error {
			t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			for _, one := range found {
				state := one.Problem
				if state == "" {
					state = describeKeys(one.Keys, one.Time)
				}
				fmt.Fprintf(t, "%s\t%s\t%s\n", one.Path, humanize.IBytes(uint64(one.Bytes)), state)
			}
			return t.Flush()
		})
		for _, one := range found {
			good = good || one.Problem == ""
		}
		if err == nil && !good {
			term.Note("there is no backup without a problem in %s", *folder)
			err = &console.ExitError{Code: console.ExitFailure}
		}
		return err
	}
	return cmd
}

func describeKeys(k *recovery.Keys, taken time.Time) string {
	switch {
	case k == nil:
		return "keys not counted"
	case k.Verified:
		return english.Plural(k.Count, "key", "") + ", verified at " + taken.Format(time.RFC3339) + ", when it was taken"
	}
	return english.Plural(k.Count, "key", "") + ", not verified when it was taken"
}

func newBackupVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify BACKUP",
		Short: "Check that a backup can be used",
		Long: `BACKUP is one folder etcd-TIME in the folder that "backup --dir" names.

Reads a whole backup and compares every file with its digest. Then it copies the backup
into a temporary folder, starts an etcd on the copy that only this program can reach,
and compares its keys with those that were counted when the backup was made. The backup
itself does not change. The snapshot of a v3 store is restored by etcdutl, and checked like
when it was taken. With etcd's authentication that needs --user and --password-file, of a
user of etcd with the role root. TMPDIR chooses the folder of the copy, which needs as much space
as the backup. --files-only leaves out the copy and the etcd.

The command says what it could not check. The exit status is 0 if the backup is good, 1 if
it is damaged or could not be checked, for example without an etcd or without space, and 3
if it cannot be judged, because it does not say which keys it should have.`,
		Example: `  etcd-tlsproxy backup verify /srv/backup/etcd/etcd-20261124T020000Z`,
		Args:    console.Arguments,
	}
	term := console.New(cmd)
	filesOnly := cmd.Flags().Bool("files-only", false, "compare only the files with their digests")
	var with recovery.Tools
	var login cluster.Connection
	f := cmd.Flags()
	f.StringVar(&with.Etcd, "etcd", "", "`path` of etcd (default: from PATH)")
	f.StringVar(&with.Restorer, "etcdctl", "", "`path` of etcdutl, or of etcdctl before etcd 3.6, for the snapshot of a v3 store (default: from PATH)")
	flags.EtcdLogin(f, &login)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if with.User, with.Password, err = login.Login(); err != nil {
			return err
		}
		progress := term.Progress("bytes read", -1)
		var v *recovery.Verified
		if *filesOnly {
			v = &recovery.Verified{Unknown: []string{"which keys it has: --files-only leaves that out"}}
			v.Manifest, err = recovery.Check(args[0], progress.Add)
		} else {
			v, err = recovery.Verify(cmd.Context(), with, args[0], progress.Add)
		}
		progress.Done()
		if err != nil {
			return err
		}
		result := struct {
			Path string `json:"path"`
			*recovery.Verified
		}{args[0], v}
		err = term.Print(result, func(w io.Writer) error { return writeVerified(w, args[0], v) })
		if err == nil && v.Found != nil && !v.Compared {
			err = &console.ExitError{Code: console.ExitNo}
		}
		return err
	}
	return cmd
}

// writeVerified describes a backup that was verified now. Whether it was verified when it
// was taken does not matter any more.
func writeVerified(w io.Writer, path string, v *recovery.Verified) error {
	files := "all " + english.Plural(len(v.Manifest.Files), "file", "") + " of " + v.Manifest.Time.Format(time.RFC3339) + " are unchanged"
	text := path + ": " + files
	switch {
	case v.Found == nil:
	case v.Compared:
		text = fmt.Sprintf("%s is good: %s, and an etcd that was started on a copy has the same %s", path, files, english.Plural(v.Found.Count, "key", ""))
		if v.Manifest.Tree != nil && len(v.Unknown) > 0 {
			text = fmt.Sprintf("%s: %s, and its snapshot has the same %s", path, files, english.Plural(v.Found.Count, "key", ""))
		}
	default:
		text = fmt.Sprintf("%s cannot be judged: %s, and an etcd that was started on a copy has %s", path, files, english.Plural(v.Found.Count, "key", ""))
	}
	for _, unknown := range v.Unknown {
		text += "\n  unknown: " + unknown
	}
	if left := v.Manifest.V3LeftOut; left != "" {
		text += "\n  it does not contain " + left
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
