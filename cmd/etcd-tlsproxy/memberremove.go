package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/proxy/upstream"
)

// removedMember is the result of member remove.
type removedMember struct {
	ID   string           `json:"id"`
	Name string           `json:"name"`
	Drop *cluster.Cleanup `json:"drop"`
}

func newMemberRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NAME|ID",
		Short: "Remove a member from a cluster",
		Long: `Removes a member, and tells which SRV records and which lines of hiera to drop then:
with --srv the very records of the domain, else how they look.

It refuses to remove the leader, the last healthy member, and any without which no
quorum would be left, unless --force is given; the plan tells what that may cost. The
only member is not removed at all. Nor is one whose name is ambiguous: members that
have not started have none, and are named by id.

Take the records that clients use away first, the peers' afterwards. A member that was
removed never joins again with its data.`,
		Example: `  etcd-tlsproxy member remove conf1003 --srv example.org
  etcd-tlsproxy member remove 5f62a924ac85910 --yes`,
		Args: cobra.ExactArgs(1),
	}
	term := console.NewConfirming(cmd)
	connection := &cluster.Connection{}
	connectionFlags(cmd, connection)
	f := cmd.Flags()
	force := f.Bool("force", false, "remove it although something speaks against it; the plan tells what it may cost")
	domain := f.String("srv", "", "`domain` to look for the member's records in")
	resolver := f.String("resolver", "", "DNS `server` to ask, as in 127.0.0.1:53 (default: the system's)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var found *cluster.Domain
		if *domain != "" {
			if err := upstream.CheckDomain(*domain); err != nil {
				return fmt.Errorf("--srv %q: %w", *domain, err)
			}
			found = lookUp(cmd, *resolver, *domain)
		}
		health, err := lookForChange(cmd.Context(), term, connection)
		if err != nil {
			return err
		}
		member, change, err := health.PlanRemove(args[0])
		if err != nil {
			return err
		}
		if err := change.Check(*force); err != nil {
			return err
		}
		result := &removedMember{ID: member.ID, Name: member.Name, Drop: health.CleanupAfter(member, found)}
		if err := term.Confirm(change.Steps...); err != nil {
			return err
		}
		if err := connection.ApplyRemove(cmd.Context(), health, member.ID); err != nil {
			return err
		}
		return term.Print(result, func(w io.Writer) error {
			var b strings.Builder
			fmt.Fprintf(&b, "# member %s was removed; records to drop, if they are there:\n", member.Label())
			for _, record := range result.Drop.Records {
				fmt.Fprintf(&b, "#   %s\n", record)
			}
			fmt.Fprintf(&b, "# hiera, for those that stay\n%s", result.Drop.Hiera)
			_, err := io.WriteString(w, b.String())
			return err
		})
	}
	return cmd
}
