package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/keydump"
)

func newLoad() *cobra.Command {
	var connection cluster.Connection
	cmd := &cobra.Command{
		Use:   "load [FILE]",
		Short: "Write a dump's keys back",
		Long: `Reads a dump, from a file or the standard input, and makes the cluster hold what it
says, parents before their children. Nothing is written before the whole file was read
and checked, and --yes was given; without it the plan is printed.

For each entry one of these is done:
  create     it is not there
  update     it is as old as the dump, and differs
  unchanged  it is there already
  expired    it has an expiration that is past; it is left out
  conflict   it was changed after the dump, or is a directory where the dump has a
             key, or the reverse: it is left alone

Indexes compare only within one cluster's life. In another cluster, or one whose index
went backwards because it was recovered from a backup, every key with another value is
a conflict. --overwrite updates such keys, and those that are newer. What is in the
cluster and not in the dump is never touched.

Every write names the state that it was decided on, so that a client who was faster
keeps what it wrote: that is a conflict too. Keys get the time that is left of their
expiration, by this machine's clock; of a key that is there and expires, another time
is no difference. Directories that are there stay as they are.

Conflicts are told at the end, and make the exit status 1. A load that was interrupted
can be run again.

No file with a key is loaded that etcd takes for its own record of a member (a key with
/0/members/1/attributes in it): such a write would be the cluster's end.`,
		Example: `  etcd-tlsproxy load --dry-run conftool.jsonl
  etcd-tlsproxy load --yes conftool.jsonl --username root --password-file /root/etcd-password \
    --endpoints https://conf1001.example.org:4001
  etcd-tlsproxy load --yes --prefix-from /conftool --prefix-to /restored/conftool conftool.jsonl`,
		Args: cobra.MaximumNArgs(1),
	}
	connectionFlags(cmd, &connection)
	c := console.NewConfirming(cmd)
	dryRun := cmd.Flags().Bool("dry-run", false, "write nothing, and tell for each entry what would be done")
	overwrite := cmd.Flags().Bool("overwrite", false, "update keys even if what they hold may be newer")
	from := cmd.Flags().String("prefix-from", "", "`prefix` in the dump that --prefix-to takes the place of")
	to := cmd.Flags().String("prefix-to", "", "`prefix` to load below, instead of --prefix-from")
	cmd.MarkFlagsRequiredTogether("prefix-from", "prefix-to")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dump, err := readDump(c, args)
		if err != nil {
			return err
		}
		if *from != "" {
			if err := moveDump(dump, *from, *to); err != nil {
				return err
			}
		}
		etcd, err := connection.Client()
		if err != nil {
			return err
		}
		plan, err := dump.Plan(cmd.Context(), etcd, *overwrite, time.Now())
		if err != nil {
			return err
		}
		if *dryRun {
			return tellLoad(c, plan, true)
		}
		if plan.Writes() > 0 {
			counts := plan.Counts()
			if err := c.Confirm(fmt.Sprintf("in cluster %s: create %d and update %d keys and directories (--dry-run tells which)",
				plan.ClusterID, counts[keydump.Create], counts[keydump.Update])); err != nil {
				return err
			}
			progress := c.Progress("keys", int64(plan.Writes()))
			loader := keydump.Loader{Client: etcd, OnWrite: func() { progress.Add(1) }}
			err := loader.Run(cmd.Context(), plan)
			progress.Done()
			if err != nil {
				return fmt.Errorf("%w; what was before it is done (hint: the same load can be run again)", err)
			}
		}
		return tellLoad(c, plan, false)
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

func moveDump(dump *keydump.Dump, from, to string) error {
	source, err := acl.NewKey(from)
	if err != nil {
		return fmt.Errorf("--prefix-from %q: %w", from, err)
	}
	target, err := acl.NewKey(to)
	if err != nil {
		return fmt.Errorf("--prefix-to %q: %w", to, err)
	}
	return dump.Move(source, target)
}

// tellLoad tells what was done, or would be, and fails if there are conflicts.
func tellLoad(c *console.Console, plan *keydump.Plan, dryRun bool) error {
	type line struct {
		Key    acl.Key        `json:"key"`
		Action keydump.Action `json:"action"`
		Reason string         `json:"reason,omitempty"`
	}
	counts := plan.Counts()
	result := struct {
		ClusterID string                 `json:"clusterId"`
		Index     uint64                 `json:"index"`
		Counts    map[keydump.Action]int `json:"counts"`
		// Entries are all of them, or those that were left alone.
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
		err = &console.ExitError{Code: 1}
	}
	return err
}
