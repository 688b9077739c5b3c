package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/recovery"
)

func newRecover() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Bring a cluster that has lost its quorum back",
		Long: `Prints the commands that bring a cluster back from a backup or from the data
folder of a member that survived, as a script for sh. Run it as root on the first
of --members, or read it and run its parts by hand. Nothing is done before that.

The steps: stop etcd everywhere; move old data aside (it is never removed); copy
the backup; start the first member once with --force-new-cluster; give it its peer
URL, which is http://localhost:2380 after that; restart it as a normal member; add
the others one by one, each after the one before has started.

With --run and --yes the steps for this machine are carried out, each with a check
of its effect. What is to be done on another machine is told, and waited for; the
script does it with --remote-shell.

It refuses a backup that is not as it was written, folders that are not etcd's, and
a cluster that is alive: every member is asked, and one that answers with a quorum
ends it. A member is written NAME=HOST, or NAME=PEER+CLIENT+ADVERTISED with URLs.

Afterwards the cluster has another id and lower indexes: what is to be restarted
because of that is at the end of the script.`,
		Example: `  etcd-tlsproxy recover --backup /srv/backup/etcd/etcd-20261124T020000Z --data-dir /var/lib/etcd/default \
    --members conf1001=conf1001.example.org,conf1002=conf1002.example.org,conf1003=conf1003.example.org >recover.sh
  sh recover.sh`,
		Args: cobra.NoArgs,
	}
	term := console.NewConfirming(cmd)
	r := &recovery.Recovery{Note: term.NoteText, Progress: term.ReportProgress, Confirm: term.Confirm, Now: time.Now}
	var d recovery.Defaults
	var members []string
	var carryOut bool
	f := cmd.Flags()
	f.StringVar(&r.Backup, "backup", "", "`folder` of a backup, or of the data of a member that survived")
	f.StringSliceVar(&members, "members", nil, "`NAME=HOST,...`: all members; the first is on this machine")
	f.StringVar(&d.PeerScheme, "peer-scheme", "http", "`scheme` that peers speak with each other: http or https")
	f.IntVar(&d.PeerPort, "peer-port", 2380, "`port` for peers")
	f.StringVar(&d.ClientScheme, "client-scheme", "https", "`scheme` of the URL that clients get, which is the proxy's: http or https")
	f.IntVar(&d.ProxyPort, "proxy-port", 4001, "`port` of that URL")
	f.StringVar(&d.ListenClient, "listen-client", "http://127.0.0.1:2379", "`URL` at which the proxy reaches etcd")
	f.StringVar(&r.ListenPeer, "listen-peer", "0.0.0.0", "`address` for peers, with --foreground")
	f.StringVar(&r.DataDir, "data-dir", "/var/lib/etcd/default", "etcd's data `folder` on each machine; {name} in it is the member's name")
	f.StringVar(&r.Owner, "owner", "etcd:etcd", "`user:group` of a data folder that does not exist yet")
	f.StringVar(&r.Service, "etcd-service", "etcd.service", "systemd's `unit` of etcd; {name} in it is the member's name")
	f.BoolVar(&r.Foreground, "foreground", false, "start etcd as a process, for machines without systemd; the files FOLDER.pid and FOLDER.log belong to it")
	f.StringVar(&r.Etcd, "etcd", "etcd", "`path` of etcd, with --foreground")
	f.StringArrayVar(&r.EtcdArgs, "etcd-arg", nil, "one more `flag` for etcd, with --foreground, as in --etcd-arg=--peer-cert-file=FILE; can be repeated")
	f.StringVar(&r.RemoteShell, "remote-shell", "ssh", "`command` that runs a command on another machine")
	f.StringVar(&r.Connection.CA, "ca-file", "", "PEM `file` to verify https URLs with (default: the system's CAs)")
	f.StringVar(&r.Connection.Certificate, "cert-file", "", "PEM `file` of this client's certificate")
	f.StringVar(&r.Connection.Key, "key-file", "", "PEM `file` of its key")
	f.DurationVar(&r.Connection.Timeout, "timeout", 5*time.Second, "how long an answer may take, and how long a quorum is waited for")
	f.DurationVar(&r.Wait, "wait", 15*time.Minute, "how long a step may take, with --run")
	f.BoolVar(&carryOut, "run", false, "carry out what is for this machine, instead of printing it")
	for _, name := range []string{"backup", "members"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic("BUG: the flag was added above: " + err.Error())
		}
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if r.Members, err = d.Members(members); err != nil {
			return err
		}
		if r.Connection.Timeout < time.Second {
			return errors.New("--timeout is too short to tell that there is no quorum (hint: elections take a second)")
		}
		var plan *recovery.Plan
		if carryOut {
			plan, err = r.Run(cmd.Context())
			if err == nil && !term.JSON() {
				return nil // it was told while it was done
			}
		} else {
			plan, err = r.Plan(cmd.Context())
		}
		if err != nil {
			return err
		}
		return term.Print(plan, plan.Text)
	}
	return cmd
}
