package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the man pages into a folder",
		Long: `Writes a page for the program and one for each of its commands, section 8, into
the folder, which must exist. Packages run it when they are built.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			// Without a date the same version gives the same bytes.
			root.DisableAutoGenTag = true
			return doc.GenManTree(root, &doc.GenManHeader{Section: "8", Source: "etcd-tlsproxy", Manual: "etcd-tlsproxy"}, args[0])
		},
	}
}
