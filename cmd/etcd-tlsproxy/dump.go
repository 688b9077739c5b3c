package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/atomicfile"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/keydump"
	"etcd-tlsproxy/cmd/internal/usage"
)

func newDump() *cobra.Command {
	var connection cluster.Connection
	cmd := &cobra.Command{
		Use:   "dump [PREFIX]",
		Short: "Write a tree of keys as lines of JSON",
		Long: `Writes the directories and keys below a prefix, by default all of them, as lines of
JSON that load reads. The first line contains the id of the cluster, its index, the
time, and the number of lines that follow.

The tree is the result of one quorum read, so it is the newest state at one point in
time. It is read through a proxy or from etcd directly. Where reads are restricted, log
in as a user who may read the whole tree.

etcd does not list hidden keys, whose last part begins with _, nor the keys below them.
--hidden adds hidden keys to the dump. Each is read separately, after the tree.

The dump leaves out what load could not write back, and the command lists it: keys and
values with bytes that are not UTF-8, which etcd does not return unchanged; keys with
control bytes or backslashes; keys of more than 100 parts, with all keys below them; and
keys that etcd uses for its own records of members. The exit status is then 1, but the
dump is written.

--file replaces the file when the dump is complete and on disk. Only its owner can read
the file, because values can be secrets.`,
		Example: `  etcd-tlsproxy dump /conftool --file /srv/backup/conftool.jsonl
  etcd-tlsproxy dump --endpoints https://conf1001.example.org:4001 --ca-file /etc/ssl/ca.pem | gzip > all.jsonl.gz
  etcd-tlsproxy dump / --hidden /_settings --hidden /app/_state`,
		Args: console.Arguments,
	}
	flags.Connection(cmd, &connection)
	c := console.New(cmd)
	file := cmd.Flags().StringP("file", "f", "", "`file` to write to, instead of standard output")
	hidden := cmd.Flags().StringArray("hidden", nil, "hidden `key` to add; can be repeated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if c.JSON() && *file == "" {
			return usage.Mark(errors.New("--output json needs --file, because the dump on standard output is JSON already (hint: --output is the format of the summary of a dump into a file)"))
		}
		prefix := acl.Root
		var err error
		if len(args) > 0 {
			if prefix, err = acl.NewKey(args[0]); err != nil {
				return usage.Mark(fmt.Errorf("prefix %q: %w", args[0], err))
			}
		}
		named := make([]acl.Key, len(*hidden))
		for i, key := range *hidden {
			if named[i], err = acl.NewKey(key); err != nil {
				return usage.Mark(fmt.Errorf("--hidden %q: %w", key, err))
			}
		}
		etcd, err := connection.Client()
		if err != nil {
			return err
		}
		dump, err := keydump.Read(cmd.Context(), etcd, prefix, named, time.Now())
		if err != nil {
			return err
		}
		if err := writeDump(c, dump, *file); err != nil {
			return err
		}
		for _, left := range dump.LeftOut {
			c.Note("left out %s: %s", left.Key, left.Reason)
		}
		if len(dump.LeftOut) > 0 {
			return &console.ExitError{Code: console.ExitFailure}
		}
		return nil
	}
	return cmd
}

func writeDump(c *console.Console, dump *keydump.Dump, file string) error {
	if file == "" {
		if err := dump.Write(c.Out()); err != nil {
			return fmt.Errorf("writing the dump: %w", err)
		}
		return nil
	}
	if err := atomicfile.WriteSecret(file, dump.Write); err != nil {
		return fmt.Errorf("writing the dump: %w", err)
	}
	summary := struct {
		File      string             `json:"file"`
		Prefix    acl.Key            `json:"prefix"`
		ClusterID string             `json:"cluster_id"`
		Index     uint64             `json:"index"`
		Taken     time.Time          `json:"taken"`
		Entries   int                `json:"entries"`
		LeftOut   []keydump.Omission `json:"left_out,omitempty"`
	}{file, dump.Prefix, dump.ClusterID, dump.Index, dump.Taken, dump.Entries, dump.LeftOut}
	return c.Print(summary, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %s of %v at index %d of cluster %s\n", file, english.Plural(dump.Entries, "entry", ""), dump.Prefix, dump.Index, dump.ClusterID)
		return err
	})
}
