package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/proxy/upstream"
)

// records is the result of srv.
type records struct {
	*cluster.Domain
	InitialCluster string   `json:"initial_cluster"`
	Findings       []string `json:"findings"`
	Consistent     bool     `json:"consistent"`
}

func newSRV() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "srv DOMAIN",
		Short: "Check the SRV records of a cluster",
		Long: `Shows what DNS gives about a cluster, for its peers (_etcd-server-ssl._tcp and
_etcd-server._tcp), for its clients (_etcd-client-ssl._tcp and _etcd-client._tcp) and
under the names that python-etcd and MediaWiki also use (_etcd-ssl._tcp and
_etcd._tcp), and what is missing or inconsistent in it: targets without address,
aliases, duplicates, mixed schemes, ports that differ, hosts that peers find and
clients do not, or the reverse.

With --check the records are compared with the live cluster, too: members that are
not in DNS, records that lead to no member, and URLs that differ from what members
advertise, be it in one letter: python-etcd dies of that when a connection fails.

It exits with 0 if all is consistent, and with 1 if not.`,
		Example: `  etcd-tlsproxy srv example.org
  etcd-tlsproxy srv example.org --check --endpoints https://conf1001.example.org:4001`,
		Args: cobra.ExactArgs(1),
	}
	term := console.New(cmd)
	resolver := cmd.Flags().String("resolver", "", "DNS `server` to ask, as in 127.0.0.1:53 (default: the system's)")
	check := cmd.Flags().Bool("check", false, "compare with the live cluster at --endpoints")
	connection := &cluster.Connection{}
	connectionFlags(cmd, connection)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := upstream.CheckDomain(args[0]); err != nil {
			return fmt.Errorf("%q: %w", args[0], err)
		}
		result := &records{Domain: lookUp(cmd, *resolver, args[0])}
		result.InitialCluster = cluster.InitialCluster(result.Peers())
		result.Findings = append([]string{}, result.Domain.Findings()...)
		if *check {
			members, err := connection.Members(cmd.Context())
			if err != nil {
				return err
			}
			result.Findings = append(result.Findings, result.Compare(members)...)
		}
		result.Consistent = len(result.Findings) == 0
		if err := term.Print(result, result.text); err != nil || result.Consistent {
			return err
		}
		return &console.ExitError{Code: 1}
	}
	return cmd
}

// lookUp bounds all questions together.
func lookUp(cmd *cobra.Command, resolver, domain string) *cluster.Domain {
	ctx, cancel := context.WithTimeout(cmd.Context(), discoverTimeout)
	defer cancel()
	return cluster.LookUp(ctx, upstream.NewResolver(resolver), domain)
}

func (r *records) text(w io.Writer) error {
	var b strings.Builder
	for _, s := range r.Services {
		switch {
		case s.Problem != "":
			fmt.Fprintf(&b, "%s: unknown\n", s.Name)
			continue
		case len(s.Records) == 0:
			fmt.Fprintf(&b, "%s: none\n", s.Name)
			continue
		}
		fmt.Fprintf(&b, "%s:\n", s.Name)
		for _, record := range s.Records {
			fmt.Fprintf(&b, "  %d %d %d %s", record.Priority, record.Weight, record.Port, record.Target)
			if len(record.Addresses) > 0 {
				fmt.Fprintf(&b, " (%s)", strings.Join(record.Addresses, ", "))
			}
			b.WriteByte('\n')
		}
	}
	if r.InitialCluster != "" {
		fmt.Fprintf(&b, "initial cluster: %s\n", r.InitialCluster)
	}
	for _, finding := range r.Findings {
		fmt.Fprintf(&b, "finding: %s\n", finding)
	}
	if r.Consistent {
		b.WriteString("consistent\n")
	} else {
		fmt.Fprintf(&b, "not consistent: %d findings\n", len(r.Findings))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
