package migrate

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/console"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/flags"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/migration"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/changeover"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which API has the keys, and which proxies follow",
		Long: `Shows what the v3 store says: which API has the keys, and which proxies have a session
there. It lists proxies with upstream.api = "auto" and "v3"; those with "v2" have no
session. A proxy with "auto" that serves the store has two sessions. With shadow.sample in the
configuration, it also shows what the proxies have compared with the copy of a rehearsal.`,
		Example: `  etcd-tlsproxy migrate status
  etcd-tlsproxy migrate status --output json`,
		Args: console.Arguments,
	}
	file := flags.Config(cmd)
	c := console.New(cmd)
	limit := timeoutFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), *limit)
		defer cancel()
		var status *fleetStatus
		err := withStore(ctx, *file, func(client *rpc.Client, o *v2v3.Options) error {
			keys := layout.Keys(o.Prefix)
			f, err := changeover.Look(ctx, client, keys)
			if err != nil {
				return err
			}
			status = statusOf(f)
			if status.V2Writable, err = migration.Unguarded(ctx, client, keys, o.Endpoints); err != nil {
				c.NoteText("whether the v2 API takes writes is not known: " + err.Error())
			}
			return nil
		})
		if err != nil {
			return err
		}
		if status.Shadow, err = lookAtShadow(ctx, *file); err != nil {
			return err
		}
		return c.Print(status, status.write)
	}
	return cmd
}

// Look reads what the store of a configuration says about its tree and the proxies.
func Look(ctx context.Context, file string) (f *changeover.Fleet, err error) {
	err = withStore(ctx, file, func(client *rpc.Client, o *v2v3.Options) error {
		f, err = changeover.Look(ctx, client, layout.Keys(o.Prefix))
		return err
	})
	return f, err
}

// timeoutFlag adds the flag that bounds a command.
func timeoutFlag(cmd *cobra.Command) *time.Duration {
	limit := new(time.Duration)
	console.DurationVar(cmd.Flags(), limit, "timeout", 10*time.Second, "time limit")
	return limit
}

// withStore calls a function with the first member of the store of a configuration that answers.
func withStore(ctx context.Context, file string, do func(*rpc.Client, *v2v3.Options) error) error {
	o, err := daemon.EitherStoreOptions(ctx, file, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return withMember(ctx, o, do)
}

// withMember calls a function with the first member of a store that answers.
func withMember(ctx context.Context, o *v2v3.Options, do func(*rpc.Client, *v2v3.Options) error) error {
	client, err := rpc.New(o.Endpoints, o.User, o.Password)
	if err != nil {
		return err
	}
	defer client.Close()
	for at := range o.Endpoints {
		if err = client.Use(at); err == nil {
			err = do(client, o)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// fleetStatus is the result of migrate status.
type fleetStatus struct {
	// API is the API that has the keys: "v2", "v3", or "none" while a command moves them.
	API    string `json:"api"`
	State  string `json:"state"`
	Prefix string `json:"prefix"`
	// Index is that of the last event in the store; 0 if the v2 API has the keys.
	Index uint64 `json:"index"`
	// V2Keys is "dropping" or "dropped" if migrate drop-v2 has begun or done that, and "" if the v2 API has what it had
	// when the keys were moved.
	V2Keys string `json:"v2_keys"`
	// Gap is how far the index has grown since the keys were moved from the v2 API; 0 if that is not known.
	Gap    uint64 `json:"gap"`
	Locked bool   `json:"locked"`
	// V2Writable is set if the store has the keys, and the v2 API still takes writes, which nobody reads.
	V2Writable bool          `json:"v2_writable"`
	Keeper     string        `json:"keeper"`
	Proxies    []proxyStatus `json:"proxies"`
	// Shadow is the copy with which answers are compared; null if none are.
	Shadow *shadowStatus `json:"shadow"`
}

type proxyStatus struct {
	Host    string    `json:"host"`
	Version string    `json:"version"`
	API     string    `json:"api"` // upstream.api: "auto" or "v3"
	Holds   bool      `json:"holds_writes"`
	Since   time.Time `json:"since"`
}

func statusOf(f *changeover.Fleet) *fleetStatus {
	s := &fleetStatus{State: f.State, Prefix: f.Prefix, Locked: f.Locked, Keeper: f.Keeper, Proxies: []proxyStatus{}}
	switch f.State {
	case layout.Frozen:
		s.API = "none"
	case layout.Live:
		s.API, s.Index, s.V2Keys = "v3", f.Index, f.V2Keys
		if f.Left > 0 && f.Index > f.Left {
			s.Gap = f.Index - f.Left
		}
	default:
		s.API = "v2"
	}
	for _, m := range f.Members {
		api := "v3"
		if m.Auto {
			api = "auto"
		}
		s.Proxies = append(s.Proxies, proxyStatus{Host: m.Host, Version: m.Version, API: api, Holds: m.Holds, Since: m.Since})
	}
	return s
}

// stateTexts say what the states of a tree mean.
var stateTexts = map[string]string{
	"":                "the v2 API has the keys; the store has no tree",
	layout.Unfinished: "the v2 API has the keys; the store has an old or incomplete copy, which the next switch replaces",
	layout.Rehearsal:  "the v2 API has the keys; the store has a copy of a rehearsal at this prefix",
	layout.Frozen:     "nobody takes writes: a command moves the keys, or was killed some seconds ago",
	layout.Live:       "the v3 store has the keys",
}

func (s *fleetStatus) write(w io.Writer) error {
	var b strings.Builder
	text := stateTexts[s.State]
	if text == "" {
		text = fmt.Sprintf("the store has a tree in the state %q, which this release does not know", s.State)
	}
	fmt.Fprintln(&b, text)
	if s.Prefix != "" {
		fmt.Fprintf(&b, "prefix: %q\n", s.Prefix)
	}
	if s.Index > 0 {
		fmt.Fprintf(&b, "index: %d", s.Index)
		if s.Gap > 0 {
			fmt.Fprintf(&b, ", %d above that of the v2 API when the keys were moved", s.Gap)
		}
		fmt.Fprintln(&b)
	}
	switch s.V2Keys {
	case layout.Dropping:
		fmt.Fprintln(&b, "the keys of the v2 API are being deleted, or a command that did was killed (hint: run etcd-tlsproxy migrate drop-v2 again)")
	case layout.Dropped:
		fmt.Fprintln(&b, "the v2 API has no keys any more, and takes writes until all members run without --enable-v2; migrate back would write all keys there")
	}
	if s.Locked {
		fmt.Fprintln(&b, "a command works on the tree")
	}
	if s.V2Writable {
		fmt.Fprintln(&b, "the v2 API takes writes, which nobody reads (hint: etcd-tlsproxy migrate lock, unless a migrate back runs)")
	}
	if s.Keeper != "" {
		fmt.Fprintf(&b, "keys are expired by the proxy at %s\n", s.Keeper)
	}
	if len(s.Proxies) == 0 {
		fmt.Fprintln(&b, "no proxy has a session at the store (hint: set upstream.api = \"auto\")")
	}
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i, p := range s.Proxies {
		if i == 0 {
			fmt.Fprintln(table, "HOST\tVERSION\tAPI\tHOLDS WRITES\tSINCE")
		}
		holds := "no"
		if p.Holds {
			holds = "yes"
		}
		fmt.Fprintf(table, "%q\t%s\t%s\t%s\t%s\n", p.Host, p.Version, p.API, holds, p.Since.Format(time.DateTime))
	}
	err := table.Flush()
	if err == nil && s.Shadow != nil {
		err = s.Shadow.write(&b)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, b.String())
	return err
}
