package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/migration"
	"etcd-tlsproxy/cmd/internal/usage"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

func newBack() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "back",
		Short: "Move the keys of all proxies from the v3 store back to the v2 API",
		Long: `Undoes migrate switch: moves all keys from the v3 store of a cluster back to its v2 API.
Every member must still run with --enable-v2, and every proxy have upstream.api = "auto".
--expect says how many there are.

What the v2 API does not have, or has otherwise, is written there, and its index is raised
above that of the store, while clients are served. Then the proxies hold their writes until
what has changed is written as well, and the v2 API is proved to have the same nodes, values
and expiries. After that the held writes go to the v2 API. Clients see that writes wait, and
that watches are broken off once. The index of the store never goes backwards for them, but
createdIndex and modifiedIndex of nodes are new: a write on condition of an old prevIndex
fails once, and its client reads again. A watch for an old index gets etcd's error 401.

If anything is not as it must be, the v3 store keeps the keys, held writes go there, and
the command says what it was. That also holds if this command, a proxy or a member is
killed: the proxies notice within some seconds. Run it again then.

--endpoints names members, not proxies. The command writes through the first of them, and
waits until all that --endpoints or upstream.endpoints names have what was written. It says
which other members there are, unless --dead names them. etcd does not list hidden keys (_name). Run the command on the machine of the first member, with --data-dir. With
--hidden-may-return instead it runs anywhere, but hidden keys that were removed since migrate
switch stay in the v2 API, and come back.

Without --yes the command checks the fleet, loads the keys, and prints what it would do.`,
		Example: `  etcd-tlsproxy migrate back --expect 3 --data-dir /var/lib/etcd/default
  etcd-tlsproxy migrate back --expect 3 --hidden-may-return --endpoints http://conf1001:2379 --yes`,
		Args: cobra.MatchAll(console.Arguments, console.Required("expect")),
	}
	c := console.NewConfirming(cmd)
	b := &migration.Back{Rehearsal: migration.Rehearsal{Note: c.NoteText, Progress: c.ReportProgress}}
	flags.Connection(cmd, &b.Connection)
	file := flags.Config(cmd)
	f := cmd.Flags()
	f.StringVar(&b.DataDir, "data-dir", "", "etcd's data `folder`, to find all hidden keys")
	hidden := f.Bool("hidden-may-return", false, "do without --data-dir: hidden keys that were removed may come back")
	f.StringVar(&b.WALDir, "wal-dir", "", "`folder` of etcd's log, if etcd runs with --wal-dir")
	f.StringSliceVar(&b.Dead, "dead", nil, "`names` or ids of members that are dead, separated by commas: nobody waits for them")
	f.IntVar(&b.Expect, "expect", 0, "`number` of proxies of the cluster")
	console.DurationVar(f, &b.MaxHold, "max-hold", 10*time.Second, "how long writes may be held; then the v3 store keeps the keys")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if (b.DataDir == "") != *hidden {
			return usage.Mark(errors.New("one of --data-dir and --hidden-may-return must be given: etcd does not list hidden keys (_name), and those that were removed since the switch come back unless its files are read (hint: --data-dir on the machine of a member)"))
		}
		options, err := daemon.AutoStoreOptions(cmd.Context(), *file, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		b.Store, b.Served = *options, options.Prefix
		return runBack(cmd.Context(), c, b, *file)
	}
	return cmd
}

// raisedPerSecond is about how many writes etcd takes in a second on ordinary disks.
const raisedPerSecond = 10_000

func runBack(ctx context.Context, c *console.Console, b *migration.Back, file string) error {
	outlook, err := b.Check(ctx)
	if err != nil {
		return err
	}
	hidden := "keep hidden keys in the v2 API that the store no longer has, so that they come back"
	if b.DataDir != "" {
		hidden = "remove from the v2 API what the store no longer has, also hidden keys"
	}
	err = c.Confirm(fmt.Sprintf("write what the v2 API does not have of %s, and remove what it has besides", english.Plural(outlook.Nodes, "node", "")), hidden,
		fmt.Sprintf("raise the index of the v2 API by %s or more, which takes about %s", humanize.Comma(int64(outlook.Gap)), time.Duration(1+outlook.Gap/raisedPerSecond)*time.Second),
		fmt.Sprintf("make %s hold their writes, for %s at most, until the v2 API has all keys and that is proved", english.Plural(b.Expect, "proxy", "proxies"), b.MaxHold),
		"make the proxies use the v2 API, and break off their watches")
	if err != nil {
		return err
	}
	result, err := b.Run(ctx)
	if err != nil {
		return fmt.Errorf("%w; %s", err, standing(ctx, file, layout.Live))
	}
	return c.Print(result, func(out io.Writer) error {
		_, err := fmt.Fprintf(out, "moved %s; the index of the v2 API is %d\nchanged %d of them there in %.1f s, and raised the index by %d in %.1f s; %s were changed meanwhile\nheld writes for %.2f s\nthe v2 API has the keys now\n",
			english.Plural(result.Nodes, "node", ""), result.Index, result.Written, result.Copied, result.Raised, result.Raising, english.Plural(result.Changed, "node", ""), result.Held)
		return err
	})
}
