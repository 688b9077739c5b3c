package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/migration"
)

func newDrop() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drop-v2",
		Short: "Delete the keys of the v2 API that nobody serves any more",
		Long: `Deletes all keys of the v2 API of a cluster, and etcd's own users there. etcd 3.6 does not
start with them. The v3 store is not changed.

With --expect N it does so only if the v3 store has the keys and N proxies serve them, as
after migrate switch. With --discard there is no such store, and the keys are lost: no
proxy serves the v2 API, and nobody needs its keys. So upstream.api must not be "v2", and
the v2 API must not be read while the members are observed. It refuses if clients watch keys
at a member, because each of them would be told that its keys were deleted.

It observes the members in upstream.endpoints, and names those of the cluster that it could
not observe. A proxy with upstream.api = "v2" is found by its reads and watches only. Proxies
that follow the changeover are found wherever their keys are.

Each file is deleted only if it is still the one that was read, and each directory when it is
empty. If somebody writes to the v2 API meanwhile, the command fails. Then the files of the
member are read again, which must have no keys. The command can be killed at any moment, and
run again.

From its beginning until all members run without --enable-v2, anybody who reaches a member
may write to the v2 API: etcd refuses writes there only as long as it has users of its own,
with which etcd 3.6 does not start. Restart the members next, one after another, without
--enable-v2 and with --snapshot-count=1. etcd-tlsproxy migrate ready says on each machine
whether etcd 3.6 accepts its data.

As long as all members still run with --enable-v2, etcd-tlsproxy migrate back moves the keys back to
the v2 API, which has nothing then.

Run it on the machine of a member, as a user who may read its data folder. --endpoints must
name that member. Without --yes the command checks all that, and prints what it would do.
Take a backup before.`,
		Example: `  etcd-tlsproxy migrate drop-v2 --expect 3
  etcd-tlsproxy migrate drop-v2 --expect 3 --data-dir /var/lib/etcd/default --yes
  etcd-tlsproxy migrate drop-v2 --discard --yes`,
		Args: cobra.MatchAll(console.Arguments, console.OneOf("expect", "discard"), agreed),
	}
	c := console.NewConfirming(cmd)
	d := &migration.Drop{Rehearsal: migration.Rehearsal{Note: c.NoteText, Progress: c.ReportProgress}}
	flags.Connection(cmd, &d.Connection)
	file := flags.Config(cmd)
	f := cmd.Flags()
	f.StringVar(&d.DataDir, "data-dir", "/var/lib/etcd/default", "etcd's data `folder`")
	f.StringVar(&d.WALDir, "wal-dir", "", "`folder` of etcd's log, if etcd runs with --wal-dir")
	f.IntVar(&d.Expect, "expect", 0, "`number` of proxies that serve the v3 store instead")
	f.BoolVar(&d.Discard, "discard", false, "delete keys that the v3 store does not have")
	f.BoolVar(&d.DespiteReads, "despite-reads", false, "discard keys although somebody reads the v2 API")
	console.DurationVar(f, &d.Observe, "observe", 5*time.Second, "how long to look whether somebody still reads the v2 API of the members")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		options, err := daemon.UnservedStoreOptions(cmd.Context(), *file, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		d.Store, d.Served = *options, options.Prefix
		return runDrop(cmd.Context(), c, d)
	}
	return cmd
}

// agreed accepts a command line that says how many proxies serve the store instead, or that nobody needs the keys.
func agreed(cmd *cobra.Command, _ []string) error {
	f := cmd.Flags()
	if n, err := f.GetInt("expect"); err == nil && f.Changed("expect") && n < 1 {
		return fmt.Errorf("--expect wants a number above 0, got %d", n)
	}
	if discard, err := f.GetBool("discard"); err == nil && f.Changed("discard") && !discard {
		return errors.New("want one of --expect and --discard, got --discard=false")
	}
	if f.Changed("despite-reads") && !f.Changed("discard") {
		return errors.New("--despite-reads wants --discard")
	}
	return nil
}

func runDrop(ctx context.Context, c *console.Console, d *migration.Drop) error {
	found, err := d.Check(ctx)
	if err != nil {
		return err
	}
	instead := fmt.Sprintf("%s the v3 store instead", english.PluralWord(found.Served, "one proxy serves", fmt.Sprintf("%d proxies serve", found.Served)))
	if d.Discard {
		instead = "the v3 store does not have them, so that they are lost"
	}
	plan := []string{fmt.Sprintf("delete %s from the v2 API of the members %s; %s", describe(found.Content), peers(found.Members), instead)}
	if len(found.Users)+len(found.Roles) > 0 {
		plan = append(plan, fmt.Sprintf("let everybody write to the v2 API, and delete etcd's own users there: %s and %s",
			english.Plural(len(found.Users), "user", ""), english.Plural(len(found.Roles), "role", "")))
	}
	if found.Later > 0 {
		plan = append(plan, fmt.Sprintf("keep in mind: %s written after the keys were moved, by somebody past the proxies or by an earlier migrate back, and the v3 store does not have that",
			english.PluralWord(found.Later, "one of the files was", fmt.Sprintf("%d of the files were", found.Later))))
	}
	if found.Reads > 0 {
		plan = append(plan, fmt.Sprintf("keep in mind: somebody read the v2 API %s in %s; with --enable-v2, each request for /health counts as well", english.Plural(int(found.Reads), "time", ""), d.Observe))
	}
	if len(found.Unobserved) > 0 {
		plan = append(plan, fmt.Sprintf("keep in mind: nobody knows whether the v2 API of these members is used, because they are not in upstream.endpoints, or do not answer: %s", strings.Join(found.Unobserved, ", ")))
	}
	if err := c.Confirm(plan...); err != nil {
		return err
	}
	result, err := d.Run(ctx)
	if err != nil {
		return fmt.Errorf("%w (hint: what was deleted is gone; run the command again to delete the rest)", err)
	}
	return c.Print(result, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "deleted %s of the v2 API in %.1f s\nthe v2 API has no keys and no users now\n"+
			"next: on each machine in turn, restart etcd without --enable-v2 and with --snapshot-count=1, and wait until etcd-tlsproxy migrate ready and cluster-health are content\n",
			english.Plural(result.Nodes, "node", ""), result.Seconds)
		return err
	})
}

// peers lists members with their versions, as far as these are known.
func peers(members []migration.Peer) string {
	var all []string
	for _, m := range members {
		one := m.Name
		if m.Version != "" {
			one += " (etcd " + m.Version + ")"
		}
		all = append(all, one)
	}
	return strings.Join(all, ", ")
}
