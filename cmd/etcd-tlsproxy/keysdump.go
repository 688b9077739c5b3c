package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/atomicfile"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/keydump"
)

func newDump() *cobra.Command {
	var connection cluster.Connection
	cmd := &cobra.Command{
		Use:   "dump [PREFIX]",
		Short: "Write a tree of keys as lines of JSON",
		Long: `Writes all directories and keys below a prefix, by default all there are, as
lines of JSON, which load reads. The first line says where the dump is from: the
cluster's id, its index, the time, and how many lines follow.

The tree is one quorum read: it is one point in time, and the newest one. It is read
through a proxy or from etcd directly; where reads are restricted it takes a user who
may read all of it.

etcd does not list hidden keys, those whose last part begins with _, nor what is
below them; --hidden names some to be read too. Each of them is a read of its own,
made after the tree's.

What load could not write back is left out and printed: keys and values with bytes that
are not UTF-8, which etcd does not show as they are, keys with control bytes or
backslashes, and keys that etcd takes for its own records of members. The exit status
is then 1, and the dump is written all the same.

With --file the dump takes the file's place when it is whole and on disk, readable by
its owner alone. Values can be secrets.`,
		Example: `  etcd-tlsproxy dump /conftool --file /srv/backup/conftool.jsonl
  etcd-tlsproxy dump --endpoints https://conf1001.example.org:4001 --ca-file /etc/ssl/ca.pem | gzip > all.jsonl.gz
  etcd-tlsproxy dump / --hidden /_settings --hidden /app/_state`,
		Args: cobra.MaximumNArgs(1),
	}
	connectionFlags(cmd, &connection)
	c := console.New(cmd)
	file := cmd.Flags().StringP("file", "f", "", "`file` to write, instead of the standard output")
	hidden := cmd.Flags().StringArray("hidden", nil, "hidden `key` to be read too; can be given more than once")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if c.JSON() && *file == "" {
			return errors.New("the dump itself is JSON on the standard output (hint: --output json is for the summary of a dump into a --file)")
		}
		prefix := acl.Root
		var err error
		if len(args) > 0 {
			if prefix, err = acl.NewKey(args[0]); err != nil {
				return fmt.Errorf("prefix %q: %w", args[0], err)
			}
		}
		named := make([]acl.Key, len(*hidden))
		for i, key := range *hidden {
			if named[i], err = acl.NewKey(key); err != nil {
				return fmt.Errorf("--hidden %q: %w", key, err)
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
			return &console.ExitError{Code: 1}
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
		File string `json:"file"`
		keydump.Header
		LeftOut []keydump.Omission `json:"leftOut,omitempty"`
	}{file, dump.Header, dump.LeftOut}
	return c.Print(summary, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %d entries of %v at index %d of cluster %s\n", file, dump.Entries, dump.Prefix, dump.Index, dump.ClusterID)
		return err
	})
}
