package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
)

func newMember() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "member",
		Short: "List, add and remove members of a cluster",
		Long: `Lists, adds and removes the members of a cluster with etcd's members API.

To add or remove a member through the proxy, log in with --user and --password-file
as a user whom the configuration allows to, as in [surfaces] members = ["root"].`,
		Args: console.OnlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMemberList(), newMemberAdd(), newMemberRemove())
	return cmd
}

// memberList is the result of member list.
type memberList struct {
	Members []listedMember `json:"members"`
}

type listedMember struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peer_urls"`
	ClientURLs []string `json:"client_urls"`
	Leader     bool     `json:"leader"`
	Started    bool     `json:"started"`
}

func newMemberList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the members",
		Long: `Lists the members that the first answering endpoint knows: id, name, peer URLs,
advertised client URLs, and which member is the leader. A member that was added but
has not started has neither a name nor client URLs. For their health, see cluster-health.`,
		Example: `  etcd-tlsproxy member list --endpoints https://conf1001.example.org:4001`,
		Args:    console.Arguments,
	}
	term := console.New(cmd)
	connection := &cluster.Connection{}
	flags.Connection(cmd, connection)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		members, err := connection.Members(cmd.Context())
		if err != nil {
			return err
		}
		leader, err := connection.Leader(cmd.Context())
		if err != nil {
			term.Note("warning: the leader is not known: %v", err)
		}
		result := &memberList{Members: []listedMember{}}
		for _, m := range members {
			result.Members = append(result.Members, listedMember{
				ID: m.ID, Name: m.Name, PeerURLs: append([]string{}, m.PeerURLs...), ClientURLs: append([]string{}, m.ClientURLs...),
				Leader: m.ID == leader, Started: started(m),
			})
		}
		return term.Print(result, result.text)
	}
	return cmd
}

func started(m client.Member) bool { return m.Name != "" || len(m.ClientURLs) > 0 }

// text writes the list in the format of etcdctl.
func (l *memberList) text(w io.Writer) error {
	for _, m := range l.Members {
		line := fmt.Sprintf("%s[unstarted]: peerURLs=%s", m.ID, strings.Join(m.PeerURLs, ","))
		if m.Started {
			line = fmt.Sprintf("%s: name=%s peerURLs=%s clientURLs=%s isLeader=%t", m.ID, m.Name, strings.Join(m.PeerURLs, ","), strings.Join(m.ClientURLs, ","), m.Leader)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// readForChange reads the health of the cluster before a change, and prints it,
// because the plan of the change depends on it.
func readForChange(ctx context.Context, term *console.Console, connection *cluster.Connection) (*cluster.Health, error) {
	health, err := connection.Probe(ctx)
	if err != nil {
		return nil, err
	}
	for i := range health.Members {
		term.Note("%s", health.Members[i].String())
	}
	return health, nil
}

// portOf returns the port of a checked peer URL.
func portOf(u *url.URL) int {
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		panic("BUG: the port was checked: " + err.Error())
	}
	return port
}
