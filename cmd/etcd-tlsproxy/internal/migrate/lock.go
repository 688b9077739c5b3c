package migrate

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/migration"
)

func newLock() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "Let the v2 API take writes if and only if it has the keys",
		Long: `Makes etcd's v2 API refuse writes while the v3 store has the keys, as migrate switch does, and
take them while the v2 API has the keys, as migrate back does. A command that was killed may have
left that undone. migrate status says so.

--endpoints names members, not proxies.`,
		Example: `  etcd-tlsproxy migrate lock --yes`,
		Args:    console.Arguments,
	}
	c := console.NewConfirming(cmd)
	r := &migration.Rehearsal{Note: c.NoteText, Progress: c.ReportProgress}
	flags.Connection(cmd, &r.Connection)
	file := flags.Config(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		options, err := daemon.AutoStoreOptions(cmd.Context(), *file, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		r.Store, r.Served = *options, options.Prefix
		if err := c.Confirm("make the v2 API refuse writes if the v3 store has the keys, and take them if it has not"); err != nil {
			return err
		}
		locked, err := r.Guard(cmd.Context())
		if err != nil {
			return err
		}
		return c.Print(struct {
			Locked bool `json:"locked"`
		}{locked}, func(w io.Writer) error {
			text := "the v2 API has the keys, and takes writes"
			if locked {
				text = "the v3 store has the keys, and the v2 API refuses writes"
			}
			_, err := fmt.Fprintln(w, text)
			return err
		})
	}
	return cmd
}
