// Command etcd-tlsproxy-bench compares etcd-tlsproxy with nginx and HAProxy on
// one machine, in one run.
//
//	go run ./cmd/etcd-tlsproxy-bench --quick
//
// It starts an etcd, an upstream that answers at once, nginx in the shape of the
// site that etcd-tlsproxy replaces ("profile": a connection to etcd for each
// request) and in the best shape known ("tuned": HTTP/1.1 and 256 connections
// kept), HAProxy, and this proxy, all with one certificate and the same users;
// loads them in turn, in rounds, from a process of its own; and prints medians
// and ratios. All of it stays on loopback and ends with the command.
//
// Figures of one run compare; figures of two runs or two machines do not.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "etcd-tlsproxy-bench: %v\n", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct {
	proxy     string
	rounds    int
	duration  time.Duration
	scenarios []string
	only      []string
	json      string
	html      string
	quick     bool
	keep      bool
}

func newCommand() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "etcd-tlsproxy-bench",
		Short: "Compare etcd-tlsproxy with nginx and HAProxy, side by side in one run",
		Long: `Starts an etcd, nginx in two shapes, HAProxy and this proxy on loopback, loads them
in turn, and prints requests per second, CPU time per request and latencies, as
medians of all rounds, with ratios. What is not installed is left out.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&s.proxy, "proxy", "", "`path` of the etcd-tlsproxy to measure (default: it is built from this checkout)")
	f.IntVar(&s.rounds, "rounds", 5, "how often each measurement is taken")
	f.DurationVar(&s.duration, "duration", 3*time.Second, "how long each measurement takes")
	f.StringSliceVar(&s.scenarios, "scenarios", nil, "`names` of the scenarios to run (default: all)")
	f.StringSliceVar(&s.only, "only", nil, "`names` of the proxies to measure: ours, tuned, profile, haproxy (default: all)")
	f.StringVar(&s.json, "json", "", "also write the figures to this `file`")
	f.StringVar(&s.html, "html", "", "also write a report with plots to this `file`")
	f.BoolVar(&s.quick, "quick", false, "one short round: all scenarios in less than 3 minutes, with more noise")
	f.BoolVar(&s.keep, "keep", false, "keep the folder of configurations, logs and data, and say where it is")
	cmd.AddCommand(newLoadCommand(), newWatchLoadCommand(), newNullCommand())
	return cmd
}
