package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/changeover"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

func newAbort() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "abort",
		Short: "Let writes go on that a move of the keys holds",
		Long: `Ends a freeze at once: the API that had the keys before takes writes again. A command
that still moves the keys cannot go on, and says so. If the command that froze the tree was
killed, the proxies do the same by themselves within some seconds.

It never undoes a move that has ended. If it ends a migrate back that was killed, migrate status
may say that the v2 API takes writes: migrate lock ends that.`,
		Example: `  etcd-tlsproxy migrate abort --yes`,
		Args:    console.Arguments,
	}
	file := flags.Config(cmd)
	c := console.NewConfirming(cmd)
	limit := timeoutFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), *limit)
		defer cancel()
		f, err := Look(ctx, *file)
		if err == nil && f.State != layout.Frozen {
			err = fmt.Errorf("nothing is to be ended: %s", stateTexts[f.State])
		}
		if err != nil {
			return err
		}
		if err := c.Confirm("let writes go on where they went before, and stop the command that moves the keys"); err != nil {
			return err
		}
		err = withStore(ctx, *file, func(client *rpc.Client, o *v2v3.Options) error { return f.Abort(ctx, client, layout.Keys(o.Prefix)) })
		if errors.Is(err, changeover.ErrNotFrozen) {
			err = nil // it has ended meanwhile
		}
		if err != nil {
			return err
		}
		return c.Print(struct {
			Aborted bool `json:"aborted"`
		}{true}, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, "writes go on where they went before")
			return err
		})
	}
	return cmd
}
