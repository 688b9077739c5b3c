package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/internal/usage"
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
		Long: `Removes a member, and prints the SRV records and the lines of hiera to remove after
it. With --srv it prints the records of the domain, otherwise their form.

The command refuses to remove the leader, the last healthy member, and a member whose
removal would leave no quorum. --force removes it nevertheless; the plan says what
can happen. The command never removes the only member. A name must be unique; a member
that has not started has no name, and is given by its id.

Remove the SRV records for clients first, and those for peers after the member. A
member that was removed can never join again with its data.`,
		Example: `  etcd-tlsproxy member remove conf1003 --srv example.org
  etcd-tlsproxy member remove 5f62a924ac85910 --yes`,
		Args: cobra.MatchAll(console.Arguments, console.Needs("srv", "resolver")),
	}
	term := console.NewConfirming(cmd)
	connection := &cluster.Connection{}
	flags.Connection(cmd, connection)
	f := cmd.Flags()
	force := f.Bool("force", false, "remove the member despite a problem; the plan says what can happen")
	domain := f.String("srv", "", "`domain` whose SRV records are searched for the member")
	resolver := resolverFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var found *cluster.Domain
		if *domain != "" {
			if err := upstream.CheckDomain(*domain); err != nil {
				return usage.Mark(fmt.Errorf("--srv %q: %w", *domain, err))
			}
			found = lookUp(cmd, *resolver, *domain)
		}
		health, err := readForChange(cmd.Context(), term, connection)
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
			fmt.Fprintf(&b, "# member %s was removed; remove these records, if they exist:\n", member.Label())
			for _, record := range result.Drop.Records {
				fmt.Fprintf(&b, "#   %s\n", record)
			}
			fmt.Fprintf(&b, "# hiera, for the remaining members\n%s", result.Drop.Hiera)
			_, err := io.WriteString(w, b.String())
			return err
		})
	}
	return cmd
}
