package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/internal/usage"
)

// addedMember is the result of member add.
type addedMember struct {
	ID             string         `json:"id"`
	Member         memberSettings `json:"member"`
	InitialCluster string         `json:"initial_cluster"`
	Hiera          *cluster.Hiera `json:"hiera"`
}

func newMemberAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME PEERURL",
		Short: "Add a member to a cluster",
		Long: `Adds a member that does not run yet, and prints the settings with which etcd and
Puppet start it: the exact initial cluster, and the URL of its proxy to advertise.

A new member counts as down until it has started. Therefore all members must be
healthy, and a member that was added before must have started. A cluster of one member
cannot write from the addition until the new member has started, because both members
must agree. The peer URL must have the scheme of the other members: http, unless the
peers use TLS. --force adds the member despite such a problem.

etcd accepts a change only after its members have been connected for 5 seconds; the
command tries for 10 seconds. With --wait it waits until the new member has started and
answers at the URL that it advertises.`,
		Example: `  etcd-tlsproxy member add conf1004 http://conf1004.example.org:2380 --yes --wait`,
		Args:    cobra.MatchAll(console.Arguments, console.Needs("wait", "wait-timeout")),
	}
	term := console.NewConfirming(cmd)
	connection := &cluster.Connection{}
	flags.Connection(cmd, connection)
	b := &cluster.Bootstrap{}
	settingsFlags(cmd, b)
	f := cmd.Flags()
	f.StringVar(&b.Cluster, "cluster-name", "", "`name` of the cluster, for hiera and as the token")
	force := f.Bool("force", false, "add the member despite a problem; the plan says what can happen")
	wait := f.Bool("wait", false, "wait until the member has started and answers")
	var limit time.Duration
	console.DurationVar(f, &limit, "wait-timeout", 10*time.Minute, "time limit of --wait")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if err := cluster.CheckName(name); err != nil {
			return usage.Mark(err)
		}
		u, err := cluster.CheckPeerURL(args[1])
		if err != nil {
			return usage.Mark(err)
		}
		b.PeerScheme, b.PeerPort = u.Scheme, portOf(u)
		if err := b.Check(); err != nil {
			return usage.Mark(err)
		}
		health, err := readForChange(cmd.Context(), term, connection)
		if err != nil {
			return err
		}
		change, err := health.PlanAdd(name, u.String())
		if err != nil {
			return err
		}
		if err := change.Check(*force); err != nil {
			return err
		}
		result, err := joining(b, health, name, u.String())
		if err != nil {
			return err
		}
		if err := term.Confirm(change.Steps...); err != nil {
			return err
		}
		if result.ID, err = connection.ApplyAdd(cmd.Context(), health, u.String()); err != nil {
			return err
		}
		if err := term.Print(result, result.text); err != nil || !*wait {
			return err
		}
		term.Note("waiting until member %s has started and answers", name)
		ctx, cancel := context.WithTimeout(cmd.Context(), limit)
		defer cancel()
		if err := connection.Wait(ctx, result.ID); err != nil {
			return fmt.Errorf("%w (hint: the member was added; start its etcd and its proxy, and run cluster-health)", err)
		}
		term.Note("member %s has started and answers", name)
		return nil
	}
	return cmd
}

// joining runs before the member is added, so that nothing can fail after that.
func joining(b *cluster.Bootstrap, health *cluster.Health, name, peerURL string) (*addedMember, error) {
	all := health.PeersWith(name, peerURL)
	s, err := b.Settings(all, name)
	if err != nil {
		return nil, err
	}
	s.State = "existing"
	m, err := newMemberSettings(s)
	if err != nil {
		return nil, err
	}
	initial := cluster.InitialCluster(all)
	return &addedMember{Member: m, InitialCluster: initial, Hiera: &cluster.Hiera{Cluster: b.Cluster, Discovery: initial, UseProxy: true}}, nil
}

func (a *addedMember) text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# member %s was added with id %s; start it with an empty %s\n", a.Member.Name, a.ID, a.Member.Environment["ETCD_DATA_DIR"])
	b.WriteString(cluster.Env(a.Member.list))
	b.WriteString("\n# hiera, for the whole cluster\n")
	b.WriteString(a.Hiera.String())
	_, err := io.WriteString(w, b.String())
	return err
}
