// Command etcd-tlsproxy-soak looks for requests that are lost, doubled or mixed up.
//
//	go run ./cmd/etcd-tlsproxy-soak --duration 10m
//
// It builds etcd-tlsproxy, starts it as a process of its own before an etcd (the
// installed one as a process, else one that is linked in) behind a link that can be
// severed, and lets many clients of all kinds work while etcd dies and stalls, its
// connections break and the proxy's files change. Each client checks each answer:
//
//   - A read is never older than what was acknowledged to anyone before it was sent,
//     and its value is the one that was written to that key in that version.
//   - An acknowledged POST is in etcd exactly once; one that never arrived whole, or
//     that the proxy says it did not send, is not; one of unknown outcome at most once.
//   - A counter grows by one for each acknowledged compare-and-swap.
//   - A watcher hears of each event, once, in order.
//   - What is refused stays refused, whether etcd lives or not, and leaves no trace.
//
// While etcd is down, and only then, an answer may be 502, 503 or 504 in the shape of
// etcd's errors. A change of files, good or bad, may fail no request at all.
//
// A seed repeats the choices of a run, not the order in which the machine carries
// them out. All of it stays on loopback and ends with the command.
package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// A second Ctrl-C ends it at once: the kernel then ends what it has started.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "etcd-tlsproxy-soak: %v\n", err)
		return 1
	}
	return 0
}

// settings are what the command line says.
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
		Long: `Runs the proxy before an etcd, with many clients that check each answer, while etcd
dies and stalls and the proxy's files change. Ends with a report; the exit code is 1
if anything in it is wrong. Ctrl-C ends it early, with the report.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&s.proxy, "proxy", "", "`path` of the etcd-tlsproxy to try (default: it is built from this checkout)")
	f.DurationVar(&s.duration, "duration", 10*time.Minute, "how long the clients work")
	f.DurationVar(&s.promise, "promise", 2*time.Second, "how soon a changed file must take effect; more on a machine that stalls")
	f.Uint64Var(&s.seed, "seed", rand.Uint64(), "what the choices of clients and faults are drawn from")
	f.StringVar(&s.json, "json", "", "also write the report to this `file`")
	f.BoolVar(&s.embedded, "embedded", false, "use the etcd that is linked in, even if one is installed")
	f.BoolVar(&s.keep, "keep", false, "keep the folder of configurations, logs and data; it is kept anyway if something is wrong")
	return cmd
}
