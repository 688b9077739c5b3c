package migration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"etcd-tlsproxy/proxy/v2v3/changeover"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// Switch moves the keys of a fleet to the v3 store. Its prefix is that of the tree that proxies will serve.
type Switch struct {
	Rehearsal
	// Expect is the number of proxies that follow the changeover.
	Expect int
	// MaxHold bounds the time for which writes are held. If it is over, the v2 API keeps the keys.
	MaxHold time.Duration

	// before is called before each step in tests. Its error ends the switch like a kill.
	before func(step string) error
	killed bool
}

// Steps are those of a switch, in their order. Writes are held from the second one on.
var Steps = []string{"copy", "freeze", "hold", "read", "update", "prove", "compare", "serve"}

// Switched says how a switch went.
type Switched struct {
	*Content
	Nodes int `json:"nodes"`
	// Copied is how long the nodes were copied while clients were served. Held is how long their writes
	// were held at most.
	Copied Seconds `json:"copy_seconds"`
	Held   Seconds `json:"held_seconds"`
	// Changed is the number of nodes that were changed or removed while the others were copied.
	Changed int `json:"changed"`
	// Expired is the number of nodes that expired while writes were held.
	Expired int `json:"expired"`
}

const (
	// undoTimeout bounds the end of a switch that failed. Without it the proxies do that themselves.
	undoTimeout = 5 * time.Second
	// maxExpiries bounds how often nodes may expire while everything is compared.
	maxExpiries = 10
)

// Check returns what the store says about the fleet, and an error unless it can be switched.
func (w *Switch) Check(ctx context.Context) (*changeover.Fleet, error) {
	s, err := open(ctx, &w.Store, layout.Unfinished)
	if err != nil {
		return nil, err
	}
	defer s.client.Close()
	return w.check(ctx, s)
}

func (w *Switch) check(ctx context.Context, s *store) (f *changeover.Fleet, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		f, err = changeover.Look(ctx, s.client, s.keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	following := 0
	for _, m := range f.Members {
		if !m.Auto {
			return f, fmt.Errorf("the proxy at %s does not follow the changeover (hint: set upstream.api = \"auto\" there and restart it)", m.Host)
		}
		following++
	}
	if following != w.Expect {
		return f, fmt.Errorf("%d proxies follow the changeover (%s), want %d (hint: a proxy without upstream.api = \"auto\" would go on writing through the v2 API; etcd-tlsproxy migrate status lists them)", following, hosts(f.Members), w.Expect)
	}
	return f, nil
}

func hosts(members []changeover.Member) string {
	var names []string
	for _, m := range members {
		names = append(names, m.Host)
	}
	return strings.Join(names, ", ")
}

// Run moves the keys. If it fails, the v2 API has them as before, and what was copied is left in the store for the
// next attempt.
func (w *Switch) Run(ctx context.Context) (*Switched, error) {
	s, err := open(ctx, &w.Store, layout.Unfinished)
	if err != nil {
		return nil, err
	}
	defer s.client.Close()
	release, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { release(w.killed) }()
	m := &move{Switch: w, store: s, result: &Switched{}}
	if err := m.run(ctx); err != nil {
		if m.meta.State == layout.Frozen && !w.killed {
			err = errors.Join(err, m.undo(ctx))
		}
		return nil, err
	}
	return m.result, nil
}

// move is a switch under way.
type move struct {
	*Switch
	store  *store
	meta   layout.Meta // as it was put last
	copied *Content    // what the tree has
	frozen time.Time
	result *Switched
}

func (m *move) run(ctx context.Context) error {
	steps := map[string]func(context.Context) error{
		"copy": m.copy, "freeze": m.freeze, "hold": m.hold, "read": m.read, "update": m.update, "prove": m.prove, "compare": m.compare, "serve": m.serve,
	}
	for _, name := range Steps {
		if name == "freeze" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, m.MaxHold, fmt.Errorf("writes were held for %s, which is the limit", m.MaxHold))
			defer cancel()
		}
		if m.before != nil {
			if err := m.before(name); err != nil {
				m.killed = true
				return err
			}
		}
		if err := steps[name](ctx); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return fmt.Errorf("in the step %q: %w", name, err)
		}
	}
	return nil
}
