package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/internal/usage"
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
		Long: `Shows the SRV records of a cluster: for peers (_etcd-server-ssl._tcp and
_etcd-server._tcp), for clients (_etcd-client-ssl._tcp and _etcd-client._tcp), and
under the names that python-etcd and MediaWiki also use (_etcd-ssl._tcp and
_etcd._tcp). It reports what is missing or inconsistent: targets without an address,
aliases, duplicates, mixed schemes, different ports, and hosts that only peers or only
clients find.

With --check the command also compares the records with the live cluster. It reports
members that are not in DNS, records without a member, and URLs that differ from the
advertised ones, even by one letter: python-etcd crashes because of that when a
connection fails.

The exit status is 0 if everything is consistent, and 1 if not.`,
		Example: `  etcd-tlsproxy srv example.org
  etcd-tlsproxy srv example.org --check --endpoints https://conf1001.example.org:4001`,
		Args: console.Arguments,
	}
	term := console.New(cmd)
	resolver := resolverFlag(cmd)
	check := cmd.Flags().Bool("check", false, "compare with the live cluster at --endpoints")
	connection := &cluster.Connection{}
	flags.Connection(cmd, connection)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := upstream.CheckDomain(args[0]); err != nil {
			return usage.Mark(fmt.Errorf("%q: %w", args[0], err))
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
		return &console.ExitError{Code: console.ExitFailure}
	}
	return cmd
}

// lookUp looks a domain up, with one time limit for all lookups.
func lookUp(cmd *cobra.Command, resolver, domain string) *cluster.Domain {
	ctx, cancel := context.WithTimeout(cmd.Context(), daemon.DiscoverTimeout)
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
		fmt.Fprintf(&b, "not consistent: %s\n", english.Plural(len(r.Findings), "finding", ""))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
