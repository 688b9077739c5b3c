// Package migrate has the verbs that move keys between the v2 API of etcd and a v3 store.
package migrate

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/proxy/v2v3"
)

// New returns the verb.
func New() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Move keys from the v2 API to a v3 store, and back",
		Long: `Prepares the store of etcd's v3 API from which the proxy serves the v2 API, and moves the
keys of a v2 store to it and back.`,
		Args: console.OnlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newInit(), newRehearse(), newStatus(), newSwitch(), newBack(), newAbort(), newDrop(), newReady(), newLock())
	return cmd
}

func newInit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make an empty tree of keys in a v3 store",
		Long: `Makes an empty tree of keys in the store that the configuration names. Without a
tree the proxy refuses every request for a key, so that a wrong endpoint or prefix is
never served as an empty store.

It refuses if the store has a tree already, if keys of other programs begin like those
of the tree, or if the prefix lies within another tree. Choose another upstream.prefix
then.

With --index N the first write has an index above N. Clients that remember indexes of
another store then never see one again.`,
		Example: `  etcd-tlsproxy migrate init --yes
  etcd-tlsproxy migrate init --config etcd-tlsproxy.toml --index 4812 --yes`,
		Args: console.Arguments,
	}
	file := flags.Config(cmd)
	c := console.NewConfirming(cmd)
	index := cmd.Flags().Uint64("index", 0, "the `index` of the empty tree")
	var limit time.Duration
	console.DurationVar(cmd.Flags(), &limit, "timeout", 10*time.Second, "time limit")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		options, err := daemon.StoreOptions(cmd.Context(), *file, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		result := &emptyTree{Prefix: options.Prefix, Index: *index}
		for _, e := range options.Endpoints {
			result.Endpoints = append(result.Endpoints, e.Addr)
		}
		if err := c.Confirm("make an empty tree of keys " + result.place()); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), limit)
		defer cancel()
		if err := v2v3.Init(ctx, *options, *index); err != nil {
			return err
		}
		return c.Print(result, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, "made an empty tree of keys", result.place())
			return err
		})
	}
	return cmd
}

// emptyTree is the result of migrate init.
type emptyTree struct {
	Endpoints []string `json:"endpoints"`
	Prefix    string   `json:"prefix"`
	Index     uint64   `json:"index"`
}

// place says where the tree is.
func (t *emptyTree) place() string {
	place := "at " + strings.Join(t.Endpoints, ", ")
	if t.Prefix != "" {
		place += fmt.Sprintf(", below the prefix %q", t.Prefix)
	}
	if t.Index > 0 {
		place += fmt.Sprintf(", with the index %d", t.Index)
	}
	return place
}
