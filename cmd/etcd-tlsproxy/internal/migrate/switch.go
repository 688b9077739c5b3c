package migrate

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/migration"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

func newSwitch() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "switch",
		Short: "Move the keys of all proxies from the v2 API to the v3 store",
		Long: `Moves all keys from the v2 API of a cluster to its v3 store, while proxies serve them.
Every proxy must have upstream.api = "auto", and --expect says how many there are. The
keys are copied first. Then the proxies hold their writes, for a second or less in most
fleets, until what has changed is copied, the copy is proved to be equal, and nobody
has written past the proxies. After that the held writes go to the store. Clients see
that writes wait, and that watches are broken off once; indexes go on from that of the
v2 API.

If anything is not as it must be, the v2 API keeps the keys, held writes go there, and
the command says what it was. That also holds if this command, a proxy or a member is
killed: the proxies notice within some seconds. Run it again then.

After the switch the command watches the v2 API for an hour, and names each key that is
still written there: by a program that writes to a member, or by a proxy that was left out.
Nobody reads these writes any more. It can be interrupted then. The exit status is 3 if there were such writes.

Run it on the machine of a member, as a user who may read its data folder, like migrate
rehearse, which tries all but the last part. Take a backup first. etcd-tlsproxy migrate back
moves the keys back.

Without --yes the command checks the fleet, reads the keys, and prints what it would do.`,
		Example: `  etcd-tlsproxy migrate switch --expect 3
  etcd-tlsproxy migrate switch --expect 3 --data-dir /var/lib/etcd/default --yes`,
		Args: cobra.MatchAll(console.Arguments, console.Required("expect")),
	}
	c := console.NewConfirming(cmd)
	w := &migration.Switch{Rehearsal: migration.Rehearsal{Note: c.NoteText, Progress: c.ReportProgress}}
	flags.Connection(cmd, &w.Connection)
	file := flags.Config(cmd)
	f := cmd.Flags()
	f.StringVar(&w.DataDir, "data-dir", "/var/lib/etcd/default", "etcd's data `folder`")
	f.StringVar(&w.WALDir, "wal-dir", "", "`folder` of etcd's log, if etcd runs with --wal-dir")
	f.IntVar(&w.Expect, "expect", 0, "`number` of proxies of the cluster")
	console.DurationVar(f, &w.MaxHold, "max-hold", 10*time.Second, "how long writes may be held; then the v2 API keeps the keys")
	var watch time.Duration
	console.DurationVar(f, &watch, "watch", time.Hour, "how long to watch the v2 API afterwards for writes past the store")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		options, err := daemon.AutoStoreOptions(cmd.Context(), *file, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		w.Store, w.Served = *options, options.Prefix
		return runSwitch(cmd.Context(), c, w, *file, watch)
	}
	return cmd
}

func runSwitch(ctx context.Context, c *console.Console, w *migration.Switch, file string, watch time.Duration) error {
	if _, err := w.Check(ctx); err != nil {
		return err
	}
	content, err := w.Take(ctx)
	if err != nil {
		return err
	}
	if d := content.Differences; d.Count > 0 {
		return fmt.Errorf("the files of the member are not what it answers: %s, the first is that %q %s", english.Plural(d.Count, "difference", ""), d.First[0].Key, d.First[0].What)
	}
	plan := []string{fmt.Sprintf("copy %s of the member %s, %s", describe(content), content.Member, copyPlace(&w.Rehearsal)),
		fmt.Sprintf("make %s hold their writes, for %s at most, until the copy is complete and proved", english.Plural(w.Expect, "proxy", "proxies"), w.MaxHold),
		"make the proxies serve the copy, and break off their watches",
		"make the v2 API refuse writes, by enabling etcd's own authentication there"}
	if n := content.ExpiringWithin(w.MaxHold); n > 0 {
		plan = append(plan, fmt.Sprintf("keep in mind: %s within %s, even if clients refresh them while writes are held", english.PluralWord(n, fmt.Sprintf("%d node expires", n), fmt.Sprintf("%d nodes expire", n)), w.MaxHold))
	}
	err = c.Confirm(plan...)
	if err != nil {
		return err
	}
	result, err := w.Run(ctx)
	if err != nil {
		return fmt.Errorf("%w; %s", err, standing(ctx, file, layout.Unfinished))
	}
	err = c.Print(result, func(out io.Writer) error {
		_, err := fmt.Fprintf(out, "moved %s at the index %d\ncopied in %.1f s; %s were changed meanwhile\nheld writes for %.2f s; %s expired meanwhile\nthe v3 store has the keys now\n",
			describe(result.Content), result.Index, result.Copied, english.Plural(result.Changed, "node", ""), result.Held, english.Plural(result.Expired, "node", ""))
		return err
	})
	if err != nil {
		return err
	}
	c.Note("watching the v2 API for %s (it can be interrupted)", watch)
	ctx, cancel := context.WithTimeout(ctx, watch)
	defer cancel()
	late := w.WatchLate(ctx, result.Content, func(key string) {
		c.Note("%q was written through the v2 API after the switch, and nobody reads it there (hint: find out who writes to a member, or which proxy was left out)", key)
	})
	if late > 0 {
		return &console.ExitError{Code: console.ExitNo}
	}
	return nil
}

// standing says which API has the keys when a command that moves them from the state before has failed.
func standing(ctx context.Context, file, before string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	f, err := Look(ctx, file)
	if err != nil {
		return "which API has the keys is not known (hint: etcd-tlsproxy migrate status says it once etcd answers)"
	}
	text := "the v2 API has the keys"
	switch f.State {
	case layout.Frozen:
		return "writes wait, until the proxies end that within some seconds (hint: etcd-tlsproxy migrate status; etcd-tlsproxy migrate abort --yes)"
	case layout.Live:
		text = "the v3 store has the keys"
	}
	if (f.State == layout.Live) == (before == layout.Live) {
		text += " as before (hint: mend that, and run the command again)"
	}
	return text
}
