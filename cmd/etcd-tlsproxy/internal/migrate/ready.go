package migrate

import (
	"fmt"
	"io"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/v2state"
)

func newReady() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Check that etcd 3.6 accepts the data of a member",
		Long: `Reads the files of the member on this machine: its newest snapshot, which must have no keys
and no users of the v2 API, and the log behind it, which must have no requests of the v2 API. etcd 3.6
does not start with any of these. Reads of the v2 API with a quorum count as well, and on
a member with --enable-v2 so do requests for /health.

It changes nothing, and asks no member, so that it works while etcd is stopped as well. Run it as a user who may read etcd's data
folder. The exit status is 0 if etcd 3.6 accepts the data, and 3 if not.`,
		Example: `  etcd-tlsproxy migrate ready
  etcd-tlsproxy migrate ready --data-dir /var/lib/etcd/default --output json`,
		Args: console.Arguments,
	}
	c := console.New(cmd)
	s := &v2state.Source{}
	f := cmd.Flags()
	f.StringVar(&s.DataDir, "data-dir", "/var/lib/etcd/default", "etcd's data `folder`")
	f.StringVar(&s.WALDir, "wal-dir", "", "`folder` of etcd's log, if etcd runs with --wal-dir")
	cmd.RunE = func(*cobra.Command, []string) error {
		identity, err := memberhost.Identify(s.DataDir, s.WALDir)
		if err != nil {
			return fmt.Errorf("reading the data folder: %w", err)
		}
		l, err := s.Leftovers()
		if err != nil {
			return err
		}
		result := &readiness{Leftovers: l, Identity: identity, Ready: l.None()}
		if err := c.Print(result, result.write); err != nil {
			return err
		}
		if !result.Ready {
			return &console.ExitError{Code: console.ExitNo}
		}
		return nil
	}
	return cmd
}

// readiness is the result of migrate ready.
type readiness struct {
	memberhost.Identity
	*v2state.Leftovers
	Ready bool `json:"ready"`
}

func (r *readiness) write(w io.Writer) error {
	if r.Ready {
		_, err := fmt.Fprintf(w, "etcd 3.6 accepts the data of the member %s: nothing of the v2 API is left\n", r.Member)
		return err
	}
	hint := "restart etcd without --enable-v2 and with --snapshot-count=1"
	if r.Keys+r.Users > 0 {
		hint = "if etcd-tlsproxy migrate drop-v2 has deleted them already, " + hint +
			"; if they are there again after that, they were written later: restart one member with --enable-v2, run migrate drop-v2 there, and restart it without"
	}
	_, err := fmt.Fprintf(w, "etcd 3.6 refuses the data of the member %s: the newest snapshot has %s and %s, and %s in the log behind it (hint: %s)\n",
		r.Member, english.Plural(r.Keys, "node of the v2 API", "nodes of the v2 API"), english.Plural(r.Users, "user or role", "users and roles"),
		english.PluralWord(r.Requests, "one request of that is", fmt.Sprintf("%d requests of that are", r.Requests)), hint)
	return err
}
