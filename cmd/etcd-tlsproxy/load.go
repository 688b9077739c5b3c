package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/keydump"
	"etcd-tlsproxy/cmd/internal/usage"
)

func newLoad() *cobra.Command {
	var connection cluster.Connection
	cmd := &cobra.Command{
		Use:   "load [FILE]",
		Short: "Write the keys of a dump",
		Long: `Reads a dump from a file or from standard input, and writes its entries to the cluster,
parents before their children. It reads and checks the whole dump first. Without --yes
it prints the plan and writes nothing.

The action for each entry is one of:
  create     The cluster does not have the entry.
  update     The cluster's entry differs, and has not changed since the dump.
  unchanged  The cluster has the entry already.
  expired    The entry has expired; it is skipped.
  conflict   The cluster's entry has changed since the dump, or one of the two is a
             directory and the other a key; it is skipped.

Indexes can be compared only within the life of one cluster. In another cluster, and in
one that was recovered from a backup, every key with another value is a conflict.
--overwrite updates such keys, and those that are newer. The command never changes
entries that are not in the dump.

Every write is conditional on the state that the plan is based on. If another client
writes first, its value stays, and the entry is a conflict. A key with an expiration is
written with the remaining time, by the clock of this machine. An existing key with
another expiration counts as unchanged, and existing directories stay as they are.

The command lists conflicts at the end, and its exit status is then 1. A load that was
interrupted can be repeated.

A dump is refused if it contains a key that etcd would take for its own record of a
member (a key with /0/members/1/attributes in it), because such a write would destroy
the cluster, or a key of more than 100 parts, which the proxy does not serve.`,
		Example: `  etcd-tlsproxy load --dry-run conftool.jsonl
  etcd-tlsproxy load --yes conftool.jsonl --user root --password-file /root/etcd-password \
    --endpoints https://conf1001.example.org:4001
  etcd-tlsproxy load --yes --prefix-from /conftool --prefix-to /restored/conftool conftool.jsonl`,
		Args: cobra.MatchAll(console.Arguments, console.Together("prefix-from", "prefix-to"), console.AtMostOneOf("yes", "dry-run")),
	}
	flags.Connection(cmd, &connection)
	c := console.NewConfirming(cmd)
	dryRun := cmd.Flags().Bool("dry-run", false, "write nothing, and print the action for each entry")
	overwrite := cmd.Flags().Bool("overwrite", false, "update keys even if their values may be newer")
	move := &moved{}
	cmd.Flags().StringVar(&move.from, "prefix-from", "", "`prefix` in the dump that --prefix-to replaces")
	cmd.Flags().StringVar(&move.to, "prefix-to", "", "`prefix` that replaces --prefix-from")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := move.check(); err != nil {
			return usage.Mark(err)
		}
		etcd, err := connection.Client()
		if err != nil {
			return err
		}
		dump, err := readDump(c, args)
		if err != nil {
			return err
		}
		if move.from != "" {
			if err := dump.Move(move.source, move.target); err != nil {
				return err
			}
		}
		plan, err := dump.Plan(cmd.Context(), etcd, *overwrite, time.Now())
		if err != nil {
			return err
		}
		if *dryRun {
			return printLoad(c, plan, true)
		}
		if plan.Writes() > 0 {
			counts := plan.Counts()
			if err := c.Confirm(fmt.Sprintf("in cluster %s: create %s and update %s (--dry-run lists them)",
				plan.ClusterID, english.Plural(counts[keydump.Create], "key or directory", "keys and directories"), english.Plural(counts[keydump.Update], "key or directory", "keys and directories"))); err != nil {
				return err
			}
			progress := c.Progress("keys", int64(plan.Writes()))
			loader := keydump.Loader{Client: etcd, OnWrite: func() { progress.Add(1) }}
			err := loader.Run(cmd.Context(), plan)
			progress.Done()
			if err != nil {
				return fmt.Errorf("%w; the entries before it are written (hint: the same load can be repeated)", err)
			}
		}
		return printLoad(c, plan, false)
	}
	return cmd
}

func readDump(c *console.Console, args []string) (*keydump.Dump, error) {
	name, data, err := "standard input", []byte(nil), error(nil)
	if len(args) == 0 || args[0] == "-" {
		data, err = io.ReadAll(c.In())
	} else {
		name = args[0]
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the dump: %w", err)
	}
	return keydump.Parse(name, data)
}

// moved are the flags that write the keys of a dump to another place.
type moved struct {
	from, to       string
	source, target acl.Key
}

// check parses the flags. Without them there is nothing to move.
func (m *moved) check() (err error) {
	if m.from == "" && m.to == "" {
		return nil
	}
	if m.source, err = acl.NewKey(m.from); err != nil {
		return fmt.Errorf("--prefix-from %q: %w", m.from, err)
	}
	if m.target, err = acl.NewKey(m.to); err != nil {
		return fmt.Errorf("--prefix-to %q: %w", m.to, err)
	}
	return nil
}

// printLoad prints what was done or would be done. It fails if there are conflicts.
func printLoad(c *console.Console, plan *keydump.Plan, dryRun bool) error {
	type line struct {
		Key    acl.Key        `json:"key"`
		Action keydump.Action `json:"action"`
		Reason string         `json:"reason,omitempty"`
	}
	counts := plan.Counts()
	result := struct {
		ClusterID string                 `json:"cluster_id"`
		Index     uint64                 `json:"index"`
		Counts    map[keydump.Action]int `json:"counts"`
		// Entries are all entries of a dry run, and otherwise those that were skipped.
		Entries []line `json:"entries"`
	}{plan.ClusterID, plan.Index, counts, []line{}}
	for _, s := range plan.Steps {
		if dryRun || s.Action == keydump.Conflict || s.Action == keydump.Expired {
			result.Entries = append(result.Entries, line{s.Key, s.Action, s.Reason})
		}
	}
	err := c.Print(result, func(w io.Writer) error {
		for _, l := range result.Entries {
			reason := ""
			if l.Reason != "" {
				reason = ": " + l.Reason
			}
			fmt.Fprintf(w, "%-9s %v%s\n", l.Action, l.Key, reason)
		}
		form := "created %d, updated %d, unchanged %d, expired %d, conflicts %d\n"
		if dryRun {
			form = "would create %d, update %d, leave unchanged %d, expired %d, conflicts %d\n"
		}
		_, err := fmt.Fprintf(w, form, counts[keydump.Create], counts[keydump.Update], counts[keydump.Unchanged], counts[keydump.Expired], counts[keydump.Conflict])
		return err
	})
	if err == nil && counts[keydump.Conflict] > 0 {
		err = &console.ExitError{Code: console.ExitFailure}
	}
	return err
}
