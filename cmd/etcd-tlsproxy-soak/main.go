// Command etcd-tlsproxy-soak looks for requests that are lost, doubled or mixed up.
//
//	go run ./cmd/etcd-tlsproxy-soak --duration 10m
//	go run ./cmd/etcd-tlsproxy-soak --duration 10m --api v3 --etcd dist/etcd36
//	go run ./cmd/etcd-tlsproxy-soak --duration 10m --shadow
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
//   - A key with a time to live expires: not before its time, and soon after it.
//   - A refused request stays refused, whether etcd is up or not, and changes nothing.
//
// While etcd is down, and only then, an answer may be 502, 503 or 504 in the form of
// etcd's errors. A change of files, good or bad, must not fail any request.
//
// With --api v3 the proxy keeps the keys in the v3 store of that etcd, which another proxy
// uses as well. There are more faults then: the proxy that expires keys dies or stalls,
// sessions of proxies end, and etcd forgets revisions while the proxy is cut off. More must
// hold, too. A watch continues whatever becomes of etcd, and the outcome of a write is known,
// unless etcd has forgotten revisions. At the end both proxies show what is in the store.
// Revisions are only forgotten in the first half of a run. In the second half the proxies
// alone keep the store from exceeding its quota, which is small.
//
// With --shadow the proxy compares all answers with a copy of the keys in the v3 store of the same etcd, which
// follows the v2 API; any difference is a mismatch.
//
// A seed repeats the choices of a run, but not the order in which the machine carries
// them out. Everything stays on loopback and ends with the command.
package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/internal/tool"
	"etcd-tlsproxy/cmd/internal/usage"
	"etcd-tlsproxy/proxy/proxytest"
)

func main() { os.Exit(tool.Main(newCommand())) }

// settings are the flags.
type settings struct {
	proxy    string
	duration time.Duration
	promise  time.Duration
	api      string
	etcd     string
	seed     uint64
	json     string
	embedded bool
	shadow   bool
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
	f.StringVar(&s.api, "api", proxytest.V2, "the API of etcd that has the keys: v2 or v3")
	f.StringVar(&s.etcd, "etcd", "", "`path` of the etcd to use (default: for v2 the installed one, for v3 the newest that make stores has built)")
	f.Uint64Var(&s.seed, "seed", rand.Uint64(), "seed of the random choices of clients and faults")
	f.StringVar(&s.json, "json", "", "`file` to which the report is written as well")
	f.BoolVar(&s.embedded, "embedded", false, "use the etcd that is linked in, even if one is installed")
	f.BoolVar(&s.shadow, "shadow", false, "compare all answers of the v2 API with a copy in etcd's v3 store")
	f.BoolVar(&s.keep, "keep", false, "keep the folder of configurations, logs and data; after a mismatch it is always kept")
	return cmd
}

// check refuses flags that have no meaning.
func (s *settings) check() error {
	switch {
	case s.duration <= 0 || s.promise <= 0:
		return usage.Mark(errors.New("reading the flags: --duration and --promise must be above 0"))
	case s.api != proxytest.V2 && s.api != proxytest.V3:
		return usage.Mark(fmt.Errorf("reading the flags: --api %q is not an API of etcd, want v2 or v3", s.api))
	case s.shadow && s.api != proxytest.V2:
		return usage.Mark(errors.New("reading the flags: --shadow compares answers of the v2 API; leave out --api"))
	case s.embedded && s.etcd != "":
		return usage.Mark(errors.New("reading the flags: --embedded is an etcd without a program; leave out --etcd"))
	}
	return nil
}
