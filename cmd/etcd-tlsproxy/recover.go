package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/recovery"
	"etcd-tlsproxy/cmd/internal/usage"
)

func newRecover() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Recover a cluster that has lost its quorum",
		Long: `Prints a script for sh that recovers a cluster from a backup, or from the data folder
of a surviving member. Run it as root on the first of --members, or read it and run
its parts by hand. Printing the script changes nothing.

The script first checks on each machine that it understands how etcd runs there (by
check-member, so this program must be installed there), and that all of its data is in
--data-dir and --wal-dir. It then stops etcd on all machines, moves old data aside (it
never removes any), and copies the backup. It starts the first member once with
--force-new-cluster, sets its peer URL, which etcd has reset to http://localhost:2380,
and restarts it as a normal member. It then adds the other members one by one, and waits
for each to start.

With --run and --yes the command carries out the steps for this machine, and checks
the effect of each. It prints the steps for other machines, and waits until they are
done. The script runs those steps through --remote-shell.

With --undo the command writes a script that puts the old data back on all members,
after any step, and keeps that of the recovery. The script of the recovery prints the
whole command if a step fails, and contains it in its head.

The command refuses a backup that was changed, a folder that is not etcd's, and a
cluster that is alive: it asks every member, and stops if one answers with a quorum.
A member is written NAME=HOST, or NAME=PEER+CLIENT+ADVERTISED with URLs.

A backup of a v3 store is a snapshot. The script first makes the data folder of the first
member from it, with restore-member, in a folder below TMPDIR. That member then starts as
a cluster of its own, without --force-new-cluster. Indexes continue above all that clients
have seen, and nothing has to be done about them. To recover from the data folder of a
surviving member, take a snapshot of it with "backup --offline".

From a v2 store, the recovered cluster has another id and lower indexes. The end of the script lists
the services that must be restarted because of that.`,
		Example: `  etcd-tlsproxy recover --backup /srv/backup/etcd/etcd-20261124T020000Z --data-dir /var/lib/etcd/default \
    --members conf1001=conf1001.example.org,conf1002=conf1002.example.org,conf1003=conf1003.example.org >recover.sh
  sh recover.sh
  etcd-tlsproxy recover --undo 20261124T071500Z --data-dir /var/lib/etcd/default \
    --members conf1001=conf1001.example.org,conf1002=conf1002.example.org,conf1003=conf1003.example.org >undo.sh`,
		Args: cobra.MatchAll(console.Arguments, console.Required("members"), console.OneOf("backup", "undo"),
			console.Needs("foreground", "listen-peer", "etcd-arg"), console.Needs("backup", "backup-wal-dir"), console.Needs("run", "wait")),
	}
	term := console.NewConfirming(cmd)
	r := &recovery.Recovery{Program: "etcd-tlsproxy", Note: term.NoteText, Progress: term.ReportProgress, Confirm: term.Confirm, Now: time.Now}
	var d recovery.Defaults
	var members []string
	var carryOut bool
	f := cmd.Flags()
	f.StringVar(&r.Backup, "backup", "", "`folder` of a backup, or the data folder of a surviving member")
	f.StringVar(&r.BackupWALDir, "backup-wal-dir", "", "`folder` of the log of that member, if it is outside of its data folder (default: --wal-dir, for a member's own data)")
	f.StringSliceVar(&members, "members", nil, "`NAME=HOST,...`: all members; the first is on this machine")
	f.StringVar(&d.PeerScheme, "peer-scheme", "http", "`scheme` between peers: http or https")
	f.IntVar(&d.PeerPort, "peer-port", 2380, "`port` for peers")
	f.StringVar(&d.ClientScheme, "client-scheme", "https", "`scheme` of the advertised client URL, which is the proxy's: http or https")
	f.IntVar(&d.ProxyPort, "proxy-port", 4001, "`port` of the advertised client URL")
	f.StringVar(&d.ListenClient, "listen-client", "http://127.0.0.1:2379", "`URL` at which the proxy reaches etcd")
	f.StringVar(&r.ListenPeer, "listen-peer", "0.0.0.0", "`address` on which etcd listens for peers, with --foreground")
	f.StringVar(&r.DataDir, "data-dir", "/var/lib/etcd/default", "etcd's data `folder` on each machine; {name} in it is the member's name")
	f.StringVar(&r.WALDir, "wal-dir", "", "`folder` of etcd's log on each machine, if it is outside of the data folder; {name} in it is the member's name")
	f.StringVar(&r.Owner, "owner", "etcd:etcd", "`user:group` of a data folder that does not exist yet")
	f.StringVar(&r.Service, "etcd-service", "etcd.service", "systemd's `unit` of etcd; {name} in it is the member's name")
	f.BoolVar(&r.Foreground, "foreground", false, "start etcd as a process, on machines without systemd; it writes FOLDER.pid and FOLDER.log")
	f.StringVar(&r.Etcd, "etcd", "etcd", "`path` of etcd, with --foreground, and to restore the snapshot of a v3 store")
	f.StringVar(&r.Tool, "etcdctl", "", "`path` of etcdutl, or of etcdctl before etcd 3.6, to restore the snapshot of a v3 store (default: from PATH)")
	f.StringArrayVar(&r.EtcdArgs, "etcd-arg", nil, "additional `flag` of etcd, with --foreground, as in --etcd-arg=--peer-cert-file=FILE; can be repeated")
	f.StringVar(&r.RemoteShell, "remote-shell", recovery.DefaultRemoteShell, "`command` that runs a command on another machine")
	f.StringVar(&r.Connection.CA, "ca-file", "", "PEM `file` to verify https URLs with (default: the system's CAs)")
	f.StringVar(&r.Connection.Certificate, "cert-file", "", "PEM `file` of this client's certificate")
	f.StringVar(&r.Connection.Key, "key-file", "", "PEM `file` of its key")
	for _, name := range []string{flags.Login, flags.LoginAlias} {
		f.StringVar(&r.Connection.User, name, "", "`name` of a user who may read /, if a rule of the proxies restricts reads")
	}
	f.Lookup(flags.Login).Hidden = true
	f.StringVar(&r.Connection.PasswordFile, "password-file", "", "`file` whose first line is the user's password")
	console.DurationVar(f, &r.Connection.Timeout, "timeout", 5*time.Second, "time limit of a request, and of the wait for a quorum")
	console.DurationVar(f, &r.Wait, "wait", 15*time.Minute, "time limit of a step, with --run")
	f.StringVar(&r.Undo, "undo", "", "put the old data of the recovery of this `TIME` back, as in 20261124T071500Z")
	f.BoolVar(&carryOut, "run", false, "carry out the steps for this machine, instead of printing them")
	if err := cmd.MarkFlagRequired("members"); err != nil {
		panic("BUG: the flag was added above: " + err.Error())
	}
	cmd.MarkFlagsOneRequired("backup", "undo")
	cmd.MarkFlagsMutuallyExclusive("backup", "undo")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if r.Members, err = d.Members(members); err != nil {
			return usage.Mark(err)
		}
		if r.Connection.Timeout < time.Second {
			return usage.Mark(errors.New("--timeout is too short to find that there is no quorum, want at least 1s (hint: an election takes a second)"))
		}
		var plan *recovery.Plan
		switch {
		case carryOut && r.Undo != "":
			plan, err = r.RunUndo(cmd.Context())
		case carryOut:
			plan, err = r.Run(cmd.Context())
		case r.Undo != "":
			plan, err = r.PlanUndo()
		default:
			plan, err = r.Plan(cmd.Context())
		}
		if carryOut && err == nil && !term.JSON() {
			return nil // each step was printed
		}
		if err != nil {
			return err
		}
		return term.Print(plan, plan.Text)
	}
	return cmd
}
