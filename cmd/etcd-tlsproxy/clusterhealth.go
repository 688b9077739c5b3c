package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
)

// clusterHealth is the result of cluster-health.
type clusterHealth struct {
	*cluster.Health
	Findings []cluster.Finding `json:"findings"`
}

func newClusterHealth() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster-health",
		Short: "Tell how a cluster and its members are",
		Long: `Asks an endpoint for the members, and then /health on every client URL that they
advertise, as etcdctl does: members that advertise their proxy are healthy while the
proxy says so, and while it is the member itself that answers there.

It also tells who leads, which versions run, how far each member is behind, when the
certificates expire, which advertised URLs lead past the proxy (those that are not
https, or have none of --proxy-port), and how many more members may fail.

A member is behind by what another one had committed before it was asked. For that the
root of the keys must be readable; else it is not known. The user's password is sent to
--endpoints only: where reading takes one, name all members there, as they advertise.

It exits with 0 if all members are healthy, and with 1 if not. With --nagios it speaks
to Icinga instead: a line with performance data and more below, and an exit status of
0, 1 (warning), 2 (critical: also if no endpoint answers) or 3 (unknown).`,
		Example: `  etcd-tlsproxy cluster-health --endpoints https://conf1001.example.org:4001
  etcd-tlsproxy cluster-health --endpoints https://conf1001.example.org:4001 --nagios --lag-critical 5000`,
		Args: cobra.NoArgs,
	}
	term := console.New(cmd)
	connection := &cluster.Connection{}
	connectionFlags(cmd, connection)
	limits := &cluster.Limits{}
	var nagios bool
	var expiry [2]int
	f := cmd.Flags()
	f.BoolVar(&nagios, "nagios", false, "print and exit as a plugin of Icinga")
	f.Uint64Var(&limits.BehindWarning, "lag-warning", 1000, "`entries` of the log that a member may be behind, from where it is a warning")
	f.Uint64Var(&limits.BehindCritical, "lag-critical", 10_000, "the same, from where it is critical")
	f.IntVar(&expiry[0], "expiry-warning", 21, "`days` that certificates should last yet; less is a warning")
	f.IntVar(&expiry[1], "expiry-critical", 7, "the same; less is critical")
	f.IntVar(&limits.MarginWarning, "margin-warning", 0, "how `many` more members should be able to fail; less is a warning")
	f.IntVar(&limits.MarginCritical, "margin-critical", 0, "the same; less is critical")
	f.IntSliceVar(&limits.ProxyPorts, "proxy-port", []int{4001}, "`ports` of proxies, with commas between them; 0 is any")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		const day = 24 * time.Hour
		limits.ExpiryWarning, limits.ExpiryCritical = time.Duration(expiry[0])*day, time.Duration(expiry[1])*day
		if len(limits.ProxyPorts) == 1 && limits.ProxyPorts[0] == 0 {
			limits.ProxyPorts = nil
		}
		if nagios {
			if term.JSON() {
				return errors.New("--nagios has a form of its own, and does not go with --output json")
			}
			return nagiosHealth(cmd, term, connection, *limits)
		}
		health, err := connection.Probe(cmd.Context())
		if err != nil {
			return err
		}
		result := clusterHealth{health, health.Findings(*limits, time.Now())}
		if err := term.Print(result, func(w io.Writer) error { return health.Text(w, result.Findings) }); err != nil || health.OK() {
			return err
		}
		return &console.ExitError{Code: 1}
	}
	return cmd
}

// nagiosHealth tells whatever happens on standard output: Icinga shows nothing else.
func nagiosHealth(cmd *cobra.Command, term *console.Console, connection *cluster.Connection, limits cluster.Limits) error {
	if err := connection.Check(); err != nil {
		fmt.Fprintf(term.Out(), "ETCD %s - %v\n", cluster.Unknown, err)
		return &console.ExitError{Code: int(cluster.Unknown)}
	}
	health, err := connection.Probe(cmd.Context())
	if err != nil {
		fmt.Fprintf(term.Out(), "ETCD %s - %v\n", cluster.Critical, err)
		return &console.ExitError{Code: int(cluster.Critical)}
	}
	now := time.Now()
	findings := health.Findings(limits, now)
	if err := health.Nagios(term.Out(), findings, limits, now); err != nil {
		return err
	}
	if worst := cluster.Worst(findings); worst != cluster.OK {
		return &console.ExitError{Code: int(worst)}
	}
	return nil
}
