// Command etcd-tlsproxy-siege shows whether one client can take what is everyone's.
//
//	go run ./cmd/etcd-tlsproxy-siege --quick
//	go run ./cmd/etcd-tlsproxy-siege --attacks '^(3|8)/' --duration 10s
//	go run ./cmd/etcd-tlsproxy-siege --quick --api v3
//	go run ./cmd/etcd-tlsproxy-siege --proxy ./old-etcd-tlsproxy --json old.json
//
// It starts an etcd and a proxy, and attacks the proxy in many ways, with little traffic and
// mostly without credentials. Beside each attack there are victims at another address: they read,
// write and log in, each time on a new connection. The report shows for each attack, protocol and
// kind of attackers whether others were served before, during and after it, and what the attack
// cost:
//
//   - passed: no request of a victim failed, latencies stayed within their limits, the proxy
//     stayed within its memory, etcd did not grow, the log did not flood, and what the attack
//     tries to achieve was not achieved.
//   - failed, with each figure that is beyond its limit.
//   - not applicable, with the reason.
//
// The limits are constants in verdict.go, each with its reason. The exit status is 1 if anything
// failed.
//
// # Attackers
//
// An attacker has one address, or four in networks of their own, or 256 in one /24, or a thousand
// /64 networks of one /48; or it reconnects whenever it is cut; or it is a known user; or the
// victim is behind its address. In the last case only known users are promised anything. Two
// scenarios are no attacks: large legitimate fleets behind one address, all of whose clients must
// be served.
//
// # How it measures
//
// Each cell of the table has an etcd and a proxy of its own, so that no attack inherits what
// another has left. Victims run for half of --duration in quiet, then the attackers start, and
// when they are in full effect --duration begins; after its end the victims run for another half.
// A request counts for the phase in which it was due. A failure counts from the start of the
// attackers, a latency only from when they are in full effect: thousands of handshakes while they
// arrive are an attack of their own, which has its own row.
//
// Attackers are a process of their own. They share the processors with the proxy, etcd and the
// victims, so they are as cheap as the attack allows, and the report shows which part of the
// machine they used. With --control, each attack is also directed at a second proxy with a second
// etcd while the victims use the first: what the victims suffer then is the cost of the machine,
// and not of sharing a proxy with the attackers.
//
// The proxy runs with limits.memory of 256 MiB, and the memory of both servers is watched: an
// attack that makes one of them exceed a bound is ended early, so that the machine is not
// endangered. Everything runs in a network namespace of its own where the machine allows it, and
// else on loopback; it ends with the command.
package main

import (
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/attack"
	"etcd-tlsproxy/cmd/internal/tool"
	"etcd-tlsproxy/cmd/internal/usage"
	"etcd-tlsproxy/proxy/proxytest"
)

func main() { os.Exit(tool.Main(newCommand())) }

// settings are the flags.
type settings struct {
	proxy    string
	api      string
	etcd     string
	with     []string
	attacks  string
	duration time.Duration
	json     string
	quick    bool
	control  bool
	bounds   bool
	list     bool
	embedded bool
	keep     bool

	pattern *regexp.Regexp // is parsed from attacks
}

func newCommand() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "etcd-tlsproxy-siege",
		Short: "Show whether one client can take what is everyone's",
		Long: `Attacks a proxy in many ways while victims at another address read, write and log in,
and prints a table: for each attack, protocol and kind of attackers whether the
victims were served, and what the attack cost. Limits that were exceeded are named
below each row. The exit status is 1 if anything failed.

A row is named ATTACK/PROTOCOL/ATTACKERS, as in 3/2/four; --list prints all names with
what they mean. All rows take half an hour with the default duration. Everything stays
on this machine and ends with the command; it needs 20,000 file descriptors.`,
		Example: `  etcd-tlsproxy-siege --quick
  etcd-tlsproxy-siege --attacks '^(3|8)/' --duration 10s
  etcd-tlsproxy-siege --proxy ./old --json old.json`,
		Args:          func(cmd *cobra.Command, args []string) error { return usage.Mark(cobra.NoArgs(cmd, args)) },
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage.Mark(err) })
	f := cmd.Flags()
	f.StringVar(&s.proxy, "proxy", "", "`path` of the etcd-tlsproxy to attack (default: a build of this checkout)")
	f.StringVar(&s.api, "api", proxytest.V2, "the API of etcd that has the keys: v2 or v3")
	f.StringVar(&s.etcd, "etcd", "", "`path` of the etcd to use (default: for v2 the installed one, for v3 the newest that make stores has built)")
	f.StringSliceVar(&s.with, "with", nil, "other `servers` to attack as well: nginx, haproxy")
	f.StringVar(&s.attacks, "attacks", "", "regular `expression`: attack only in rows whose name matches (default: all)")
	f.DurationVar(&s.duration, "duration", 6*time.Second, "length of each attack, if it does not need longer; the victims run for half of it before and after")
	f.StringVar(&s.json, "json", "", "`file` to which the rows are written as well")
	f.BoolVar(&s.quick, "quick", false, "one row for each attack, the one that hurts most")
	f.BoolVar(&s.control, "control", false, "also measure the victims while a second proxy is attacked")
	f.BoolVar(&s.bounds, "bounds", false, "judge failures, memory and logs but no latencies: for machines that stall")
	f.BoolVar(&s.list, "list", false, "print the names of the rows with what they mean, and attack nothing")
	f.BoolVar(&s.embedded, "embedded", false, "use the etcd that is linked in, even if one is installed")
	f.BoolVar(&s.keep, "keep", false, "keep the folders of configurations, logs and data")
	cmd.AddCommand(newAttackCommand(), newEtcdCommand())
	return cmd
}

// newAttackCommand returns the attackers: a process that reads what to do from its input.
func newAttackCommand() *cobra.Command {
	return &cobra.Command{
		Use: "attack", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return attack.Run(cmd.InOrStdin(), cmd.OutOrStdout()) },
	}
}
