// Command etcd-tlsproxy-soak looks for requests that are lost, doubled or mixed up.
//
//	go run ./cmd/etcd-tlsproxy-soak --duration 10m
//
// It builds etcd-tlsproxy and runs it as a process in front of an etcd: the installed
// one as a process, or else one that is linked in. The connections between them can be
// broken. Many clients of all kinds work while etcd dies and stalls, its connections
// break, and the proxy's files change. Each client checks each answer:
//
//   - A read is never older than what any client knew to be acknowledged before it was
//     sent, and its value is the one that was written to that key in that version.
//   - An acknowledged POST is in etcd exactly once. One that was not sent as a whole, or
//     that the proxy says it did not send, is not in etcd. One of unknown outcome is in
//     etcd at most once.
//   - A counter grows by one with each acknowledged compare-and-swap.
//   - A watcher receives each event once, in order.
//   - A refused request stays refused, whether etcd is up or not, and changes nothing.
//
// While etcd is down, and only then, an answer may be 502, 503 or 504 in the form of
// etcd's errors. A change of files, good or bad, must not fail any request.
//
// A seed repeats the choices of a run, but not the order in which the machine carries
// them out. Everything stays on loopback and ends with the command.
package main

import (
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/internal/tool"
	"etcd-tlsproxy/cmd/internal/usage"
)

func main() { tool.Main(newCommand()) }

// settings are the flags.
type settings struct {
	proxy    string
	duration time.Duration
	promise  time.Duration
	seed     uint64
	json     string
	embedded bool
	keep     bool
}

func newCommand() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "etcd-tlsproxy-soak",
		Short: "Look for requests that are lost, doubled or mixed up",
		Long: `Runs the proxy in front of an etcd with many clients that check each answer, while
etcd is killed and stalled and the proxy's files change. At the end it prints a report;
the exit status is 1 if there is a mismatch. Ctrl-C ends the run early, with the report.`,
		Args:          func(cmd *cobra.Command, args []string) error { return usage.Mark(cobra.NoArgs(cmd, args)) },
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage.Mark(err) })
	f := cmd.Flags()
	f.StringVar(&s.proxy, "proxy", "", "`path` of the etcd-tlsproxy to test (default: a build of this checkout)")
	f.DurationVar(&s.duration, "duration", 10*time.Minute, "how long the clients work")
	f.DurationVar(&s.promise, "promise", 2*time.Second, "time within which a changed file must take effect; increase it on a busy machine")
	f.Uint64Var(&s.seed, "seed", rand.Uint64(), "seed of the random choices of clients and faults")
	f.StringVar(&s.json, "json", "", "`file` to which the report is written as well")
	f.BoolVar(&s.embedded, "embedded", false, "use the etcd that is linked in, even if one is installed")
	f.BoolVar(&s.keep, "keep", false, "keep the folder of configurations, logs and data; after a mismatch it is always kept")
	return cmd
}
