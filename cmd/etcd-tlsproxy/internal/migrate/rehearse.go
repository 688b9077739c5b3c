package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/migration"
)

func newRehearse() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rehearse",
		Short: "Try to move the keys of a v2 store to a v3 store",
		Long: `Copies all keys of the v2 store of a cluster into the v3 store that the configuration
names, at a prefix that no proxy serves, and proves that the copy is equal: kinds, values,
createdIndex, modifiedIndex and expiration of all nodes, and the index of the tree. It
prints how many nodes and bytes there are, and how long each step took. Proxies and their
clients notice nothing, and the v2 store is not changed. The configuration may still have
upstream.api = "v2".

Run it on the machine of a member, as a user who may read its data folder. The nodes are
read from the files there, because etcd does not list hidden keys (_name). They are read
at the index of a quorum read through --endpoints, which must be the same member, and
compared with the answer. Two quorum reads of the whole cluster are all that the v2 store
notices.

Without --yes the keys are read and compared, and nothing is written. The command can be
interrupted at any time, and run again: it replaces the copy of an earlier run. The copy
needs room in the v3 store, and stays until --clean removes it. etcd's file shrinks only
when the store is compacted and defragmented.

The prefix of the copy is that of the configuration with "rehearsal" behind it, or that of
--prefix. The command refuses a prefix with other keys.

The exit status is 3 if there are differences. They are listed by key, without values.`,
		Example: `  etcd-tlsproxy migrate rehearse
  etcd-tlsproxy migrate rehearse --data-dir /var/lib/etcd/default --yes
  etcd-tlsproxy migrate rehearse --clean --yes`,
		Args: cobra.MatchAll(console.Arguments, func(cmd *cobra.Command, _ []string) error {
			if problem, hint := config.CheckPrefix(cmd.Flags().Lookup("prefix").Value.String()); problem != "" {
				return fmt.Errorf("--prefix: %s (hint: %s)", problem, hint)
			}
			return nil
		}),
	}
	c := console.NewConfirming(cmd)
	r := &migration.Rehearsal{Note: c.NoteText, Progress: c.ReportProgress}
	flags.Connection(cmd, &r.Connection)
	file := flags.Config(cmd)
	f := cmd.Flags()
	f.StringVar(&r.DataDir, "data-dir", "/var/lib/etcd/default", "etcd's data `folder`")
	f.StringVar(&r.WALDir, "wal-dir", "", "`folder` of etcd's log, if etcd runs with --wal-dir")
	prefix := f.String("prefix", "", "`prefix` of the copy (default: that of the configuration and \"rehearsal\")")
	clean := f.Bool("clean", false, "remove the copy, instead of making one")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		options, err := daemon.EitherStoreOptions(cmd.Context(), *file, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		r.Store, r.Served = *options, options.Prefix
		if r.Store.Prefix = *prefix; *prefix == "" {
			r.Store.Prefix = (&config.Upstream{Prefix: options.Prefix}).RehearsalPrefix()
		}
		if *clean {
			return cleanRehearsal(cmd.Context(), c, r)
		}
		return rehearse(cmd.Context(), c, r)
	}
	return cmd
}

func cleanRehearsal(ctx context.Context, c *console.Console, r *migration.Rehearsal) error {
	earlier, err := r.Earlier(ctx)
	if err != nil {
		return err
	}
	if earlier {
		if err := c.Confirm("remove the copy " + copyPlace(r)); err != nil {
			return err
		}
	}
	nodes, err := r.Clean(ctx)
	if err != nil {
		return err
	}
	result := struct {
		Prefix string `json:"prefix"`
		Nodes  int    `json:"nodes"`
		Found  bool   `json:"found"`
	}{r.Store.Prefix, nodes, earlier}
	return c.Print(result, func(w io.Writer) error {
		if !earlier {
			_, err := fmt.Fprintln(w, "there is no copy", copyPlace(r))
			return err
		}
		_, err := fmt.Fprintf(w, "removed the copy %s: %s\n", copyPlace(r), english.Plural(nodes, "node", ""))
		return err
	})
}

// copyPlace says where the copy is.
func copyPlace(r *migration.Rehearsal) string {
	var endpoints []string
	for _, e := range r.Store.Endpoints {
		endpoints = append(endpoints, e.Addr)
	}
	return fmt.Sprintf("at the prefix %q of the v3 store at %s", r.Store.Prefix, strings.Join(endpoints, ", "))
}

func rehearse(ctx context.Context, c *console.Console, r *migration.Rehearsal) error {
	earlier, err := r.Earlier(ctx)
	if err != nil {
		return err
	}
	content, err := r.Take(ctx)
	if err != nil {
		return err
	}
	if content.Differences.Count > 0 {
		return printRehearsal(c, &migration.Result{Prefix: r.Store.Prefix, Content: content, Nodes: content.Nodes()}, r)
	}
	plan := []string{fmt.Sprintf("copy %s of the member %s, as of the index %d", describe(content), content.Member, content.Index) + ", " + copyPlace(r),
		"load the copy in the way of a proxy, and compare all nodes with those of the member"}
	if earlier {
		plan = append([]string{"remove the copy of an earlier rehearsal from there"}, plan...)
	}
	if err := c.Confirm(plan...); err != nil {
		return err
	}
	result, err := r.Run(ctx, content)
	if err != nil {
		return err
	}
	return printRehearsal(c, result, r)
}

// describe says what a store has.
func describe(c *migration.Content) string {
	return fmt.Sprintf("%s (%s and %s, of which %d are hidden and %d expire, %s)", english.Plural(c.Nodes(), "node", ""),
		english.Plural(c.Files, "file", ""), english.Plural(c.Directories, "directory", "directories"), c.Hidden, c.Expiring, humanize.Bytes(uint64(c.Bytes)))
}

func printRehearsal(c *console.Console, result *migration.Result, r *migration.Rehearsal) error {
	err := c.Print(result, func(w io.Writer) error { return writeRehearsal(w, result, r) })
	if err == nil && result.Differences.Count+result.Imports.Count > 0 {
		err = &console.ExitError{Code: console.ExitNo}
	}
	return err
}

func writeRehearsal(w io.Writer, result *migration.Result, r *migration.Rehearsal) error {
	var errs []error
	line := func(form string, args ...any) {
		_, err := fmt.Fprintf(w, form+"\n", args...)
		errs = append(errs, err)
	}
	differences := func(what string, d *migration.Differences) {
		line("%s: %s", what, english.Plural(d.Count, "difference", ""))
		for _, one := range d.First {
			line("  %q %s", one.Key, one.What)
		}
		if more := d.Count - len(d.First); more > 0 {
			line("  and %d more", more)
		}
	}
	line("read %s of the member %s at the index %d in %.1f s", describe(result.Content), result.Member, result.Index, result.Read)
	if result.Differences.Count > 0 {
		differences("the files of the member are not what it answers", &result.Differences)
		line("nothing was written")
		return errors.Join(errs...)
	}
	line("imported them in %.1f s, loaded them in %.1f s, compared them in %.1f s", result.Imported, result.Loaded, result.Compared)
	line("the copy has %s of keys and values in the v3 store; etcd's file needs up to twice as much", humanize.Bytes(uint64(result.Stored)))
	if result.Imports.Count > 0 {
		differences("the copy is not what the member has", &result.Imports)
	} else {
		line("the copy is equal to the keys of the member")
	}
	if result.Behind > 0 {
		line("the index of the member has grown by %d since", result.Behind)
	}
	line("the copy stays %s, until --clean removes it", copyPlace(r))
	return errors.Join(errs...)
}
