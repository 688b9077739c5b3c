package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/internal/usage"
)

// clusterHealth is the result of cluster-health.
type clusterHealth struct {
	*cluster.Health
	Findings []cluster.Finding `json:"findings"`
}

func newClusterHealth() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster-health",
		Short: "Check the health of a cluster and its members",
		Long: `Gets the list of members from an endpoint, and then checks /health on every client
URL that the members advertise, like etcdctl. A member that advertises its proxy is
healthy if the proxy reports that, and if the report comes from the member itself.

The command also shows the leader, the versions, how far each member is behind, when
certificates expire, which advertised URLs bypass the proxy (those that are not https,
or are answered by no etcd-tlsproxy and have no port of --proxy-port), which proxies are
being emptied, and how many more members can fail. A proxy that is being emptied serves,
so its member is healthy.

The lag of a member is the number of log entries that another member had committed
before this member was queried. It is known only if the key / is readable. The password
is sent to --endpoints only: with --user, list all advertised URLs there, because no
other URL is asked for its index.

The exit status is 0 if all members are healthy, and 1 if not. With --nagios the output
is that of an Icinga plugin: a line with performance data and details below it. The exit
status is then 0, 1 (warning), 2 (critical, also if no endpoint answers) or 3 (unknown).`,
		Example: `  etcd-tlsproxy cluster-health --endpoints https://conf1001.example.org:4001
  etcd-tlsproxy cluster-health --endpoints https://conf1001.example.org:4001 --nagios --lag-critical 5000`,
		Args: console.Arguments,
	}
	term := console.New(cmd)
	connection := &cluster.Connection{}
	flags.Connection(cmd, connection)
	limits := &cluster.Limits{}
	var nagios bool
	var expiry [2]int
	f := cmd.Flags()
	f.BoolVar(&nagios, "nagios", false, "print and exit like an Icinga plugin")
	f.Uint64Var(&limits.BehindWarning, "lag-warning", 1000, "warn if a member lags behind by this number of log `entries`")
	f.Uint64Var(&limits.BehindCritical, "lag-critical", 10_000, "critical if a member lags behind by this number of log `entries`")
	f.IntVar(&expiry[0], "expiry-warning", 21, "warn if a certificate expires in fewer `days`")
	f.IntVar(&expiry[1], "expiry-critical", 7, "critical if a certificate expires in fewer `days`")
	f.IntVar(&limits.MarginWarning, "margin-warning", 0, "warn if the cluster tolerates fewer failed `members`")
	f.IntVar(&limits.MarginCritical, "margin-critical", 0, "critical if the cluster tolerates fewer failed `members`")
	f.IntSliceVar(&limits.ProxyPorts, "proxy-port", []int{4001}, "`ports` of other proxies, such as nginx, separated by commas; 0 is any port")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		const day = 24 * time.Hour
		limits.ExpiryWarning, limits.ExpiryCritical = time.Duration(expiry[0])*day, time.Duration(expiry[1])*day
		for name, value := range map[string]int{"expiry-warning": expiry[0], "expiry-critical": expiry[1], "margin-warning": limits.MarginWarning, "margin-critical": limits.MarginCritical} {
			if value < 0 {
				return usage.Mark(fmt.Errorf("--%s %d is below 0 (hint: 0 never warns)", name, value))
			}
		}
		for _, port := range limits.ProxyPorts {
			if port < 0 || port > 65535 {
				return usage.Mark(fmt.Errorf("--proxy-port %d is not a port (hint: 1 to 65535, or 0 for any)", port))
			}
		}
		if len(limits.ProxyPorts) == 1 && limits.ProxyPorts[0] == 0 {
			limits.ProxyPorts = nil
		}
		if nagios {
			if term.JSON() {
				return usage.Mark(errors.New("--nagios has its own format and cannot be used with --output json"))
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
		return &console.ExitError{Code: console.ExitFailure}
	}
	return cmd
}

// nagiosHealth prints errors on standard output too: Icinga shows nothing else.
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
