// Command etcd-tlsproxy-bench compares etcd-tlsproxy with nginx and HAProxy, or with
// other builds of itself, on one machine and in one run.
//
//	go run ./cmd/etcd-tlsproxy-bench --quick
//
// It starts an etcd, an upstream that answers at once, and the proxies, all with the same
// certificate and the same users. nginx runs with the configuration of the site that
// etcd-tlsproxy replaces ("profile": a connection to etcd for each request) and with the
// fastest known one ("tuned": HTTP/1.1 and 256 persistent connections). A separate process
// loads the proxies in turn, round by round. The report shows medians and ratios.
// Everything stays on loopback and ends with the command.
//
// With several --proxy, builds of etcd-tlsproxy are compared with each other:
//
//	etcd-tlsproxy-bench --proxy old=PATH --proxy old-again=PATH --proxy new=PATH --rounds 7
//
// The ratio of a build to itself shows the noise of the machine.
//
// Figures of one run can be compared; figures of two runs or two machines cannot.
// README.md in this folder describes the scenarios.
package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/internal/tool"
	"etcd-tlsproxy/cmd/internal/usage"
)

func main() { os.Exit(tool.Main(newCommand())) }

// settings are the flags.
type settings struct {
	proxy     []string
	rounds    int
	duration  time.Duration
	events    int
	scenarios []string
	only      []string
	json      string
	profiles  string
	html      string
	quick     bool
	keep      bool

	builds []build // are parsed from proxy
}

func newCommand() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "etcd-tlsproxy-bench",
		Short: "Compare etcd-tlsproxy with nginx and HAProxy, side by side in one run",
		Long: `Starts an etcd, nginx in two configurations, HAProxy and this proxy on loopback, loads them
in turn, and prints requests per second, CPU time per request and latencies, as
medians of all rounds, with ratios. Programs that are not installed are left out.

With several --proxy, builds of etcd-tlsproxy are compared with each other and with
no other proxy. Each round measures all of them, in alternating order. Next to the
ratio of the medians, the report shows the least and the greatest ratio of a single
round, and how far apart the rounds of each build are. Name one program twice to see
the noise.`,
		Example: `  etcd-tlsproxy-bench --quick
  etcd-tlsproxy-bench --proxy old=./old --proxy old-again=./old --proxy new=./new --rounds 7`,
		Args:          func(cmd *cobra.Command, args []string) error { return usage.Mark(cobra.NoArgs(cmd, args)) },
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage.Mark(err) })
	f := cmd.Flags()
	f.StringArrayVar(&s.proxy, "proxy", nil, "`path` of the etcd-tlsproxy to measure, or several times NAME=PATH; the first is the baseline (default: a build of this checkout)")
	f.IntVar(&s.rounds, "rounds", 5, "number of measurements of each proxy in each scenario; watches take at most 3, unless builds are compared")
	f.DurationVar(&s.duration, "duration", 3*time.Second, "length of each measurement")
	f.IntVar(&s.events, "events", 0, "number of writes in each measurement of watches; more of them give less noise (default: the scenario's own number)")
	f.StringSliceVar(&s.scenarios, "scenarios", nil, "`names` of the scenarios to run (default: all)")
	f.StringSliceVar(&s.only, "only", nil, "`names` of the proxies to measure: ours, tuned, profile, haproxy (default: all)")
	f.StringVar(&s.json, "json", "", "`file` to which the figures are written as well")
	f.StringVar(&s.profiles, "profiles", "", "`folder` to which CPU profiles of etcd-tlsproxy are written: of the last round of each scenario but those of watches")
	f.StringVar(&s.html, "html", "", "`file` to which a report with plots is written as well")
	f.BoolVar(&s.quick, "quick", false, "one round of 2 s: all scenarios in less than 3 minutes, with more noise")
	f.BoolVar(&s.keep, "keep", false, "keep the folder of configurations, logs and data, and print its path")
	cmd.AddCommand(newLoadCommand(), newWatchLoadCommand(), newNullCommand())
	return cmd
}
