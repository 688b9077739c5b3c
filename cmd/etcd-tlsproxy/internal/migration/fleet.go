package migration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/v2usage"
	"etcd-tlsproxy/proxy/v2v3/changeover"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Fleet says which proxies take part when the keys are moved, and for how long they may hold writes.
type Fleet struct {
	// Expect is the number of proxies that follow the changeover.
	Expect int
	// MaxHold bounds the time for which writes are held. If it is over, the keys stay where they were.
	MaxHold time.Duration

	// before is called before each step in tests. Its error ends the command like a kill.
	before func(step string) error
	killed bool
}

// check returns what the store says about the fleet, and an error unless all proxies follow.
func (w *Fleet) check(ctx context.Context, s *store) (f *changeover.Fleet, err error) {
	if f, err = s.fleet(ctx, s.keys); err != nil {
		return nil, err
	}
	following, others := proxies(f)
	if len(others) > 0 {
		return f, fmt.Errorf("the proxy at %s does not follow the changeover (hint: set upstream.api = \"auto\" there and restart it; one that was restarted less than 10s ago may still have a session)", others[0].Host)
	}
	if len(following) != w.Expect {
		return f, fmt.Errorf("%d proxies follow the changeover (%s), want %d (hint: a proxy without upstream.api = \"auto\" would go on using one API; etcd-tlsproxy migrate status lists them)", len(following), hosts(following), w.Expect)
	}
	return f, nil
}

// fleet returns what the store says about the tree at a prefix, and the proxies before it.
func (s *store) fleet(ctx context.Context, prefix layout.Keys) (f *changeover.Fleet, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		f, err = changeover.Look(ctx, s.client, prefix)
		return err
	})
	return f, err
}

// followers returns the sessions of proxies that follow the changeover.
func followers(f *changeover.Fleet) (members []changeover.Member) {
	for _, m := range f.Members {
		if m.Auto {
			members = append(members, m)
		}
	}
	return members
}

func hosts(members []changeover.Member) string {
	var names []string
	for _, m := range members {
		names = append(names, m.Host)
	}
	return strings.Join(names, ", ")
}

// proxies returns one session of each proxy that follows the changeover, and of each other one. A proxy may have several:
// one that follows and serves the tree has two, and for some seconds those of the tree and of the members that it used
// before. A release that does not say which sessions belong together has one that follows for each other one, on the
// same machine.
func proxies(f *changeover.Fleet) (following, others []changeover.Member) {
	seen, left := map[string]bool{}, map[string]int{}
	is := func(m *changeover.Member) bool {
		found := seen[m.Process]
		seen[m.Process] = m.Process != ""
		return found
	}
	for i := range f.Members {
		if m := &f.Members[i]; m.Auto && !is(m) {
			following = append(following, *m)
			if m.Process == "" {
				left[m.Host]++
			}
		}
	}
	for i := range f.Members {
		m := &f.Members[i]
		switch {
		case m.Auto || is(m):
		case m.Process == "" && left[m.Host] > 0:
			left[m.Host]--
		default:
			others = append(others, *m)
		}
	}
	return following, others
}

// serving returns the proxies that have a session.
func serving(f *changeover.Fleet) []changeover.Member {
	following, others := proxies(f)
	return append(following, others...)
}

// hold waits until all proxies hold their writes.
func (w *Fleet) hold(ctx context.Context, s *store) error {
	for {
		f, err := w.check(ctx, s)
		if err != nil {
			return err
		}
		var late []changeover.Member
		for _, member := range followers(f) {
			if !member.Holds {
				late = append(late, member)
			}
		}
		if len(late) == 0 {
			return nil
		}
		if wait(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("these proxies do not say that they hold their writes: %s", hosts(late))
		}
	}
}

// run executes steps in their order. Writes are held from the step "freeze" on, which the time limit begins with.
func (w *Fleet) run(ctx context.Context, names []string, steps map[string]func(context.Context) error) error {
	for _, name := range names {
		if name == "freeze" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, w.MaxHold, fmt.Errorf("writes were held for %s, which is the limit", w.MaxHold))
			defer cancel()
		}
		if w.before != nil {
			if err := w.before(name); err != nil {
				w.killed = true
				return err
			}
		}
		if err := steps[name](ctx); err != nil {
			if end, limited := ctx.Deadline(); limited && !time.Now().Before(end) {
				<-ctx.Done() // a call may have noticed that first
			}
			switch cause := context.Cause(ctx); {
			case cause == nil:
			case errors.Is(err, ctx.Err()), strings.HasSuffix(err.Error(), ctx.Err().Error()): // gRPC has its own
				err = cause
			default:
				err = fmt.Errorf("%w: %w", cause, err)
			}
			return fmt.Errorf("in the step %q: %w", name, err)
		}
	}
	return nil
}

// unneeded returns an error unless the proxies serve the tree, or there is none and nobody needs the keys.
func (d *Drop) unneeded(ctx context.Context, s *store) (f *changeover.Fleet, err error) {
	if f, err = s.fleet(ctx, s.keys); err != nil {
		return nil, err
	}
	live, err := f.HasKeys()
	switch all := serving(f); {
	case err != nil:
		return nil, err
	case live && !f.Moved && !d.Discard:
		return nil, errors.New("the v3 store has a tree that was not moved from the v2 API, so that the keys there would be lost (hint: --discard deletes keys that nobody needs)")
	case live && f.Moved && d.Discard:
		return nil, errors.New("the v3 store has the keys, so that nothing of the v2 API is to be discarded (hint: say with --expect how many proxies serve that store)")
	case live && d.Discard: // whoever has a session serves the tree
		return f, nil
	case live && len(all) != d.Expect:
		return nil, fmt.Errorf("%d proxies serve the v3 store (%s), want %d (hint: a proxy with upstream.api = \"v2\" serves what would be deleted; etcd-tlsproxy migrate status lists the others)", len(all), hosts(all), d.Expect)
	case live && f.Moved:
		return f, nil
	case len(followers(f)) > 0:
		return nil, fmt.Errorf("the proxies at %s serve the v2 API (hint: move its keys with etcd-tlsproxy migrate switch)", hosts(followers(f)))
	case d.Discard && f.State == layout.Unfinished:
		return nil, fmt.Errorf("the v3 store has a tree in the state %q, so that the v2 API has the only keys: a migrate back has brought them there, or a migrate switch has ended early (hint: move them with etcd-tlsproxy migrate switch; if nobody needs them, first delete the description of that tree with etcdctl del %s)", f.State, s.keys.Meta())
	case !d.Discard:
		return nil, errors.New("the v3 store does not have the keys, so that they would be lost (hint: move them with etcd-tlsproxy migrate switch; --discard deletes keys that nobody needs)")
	}
	return f, nil
}

// elsewhere returns an error if proxies follow a changeover whose tree is at another prefix, and perhaps serve the v2
// API: that has the same keys for all prefixes.
func (d *Drop) elsewhere(ctx context.Context, s *store) error {
	prefixes, err := changeover.Prefixes(ctx, s.client)
	if rpc.Denied(err) && !d.Discard { // the tree has the keys, and as many proxies serve it as are expected
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for proxies whose keys are at another prefix: %s (hint: if etcd's authentication is on, upstream.user must be its root for this)", rpc.Reason(err))
	}
	for _, prefix := range prefixes {
		if prefix == s.keys {
			continue
		}
		f, err := s.fleet(ctx, prefix)
		if err != nil {
			return err
		}
		auto := followers(f)
		if len(auto) == 0 { // those with "v3" do not use the v2 API
			continue
		}
		live, err := f.HasKeys()
		switch {
		case err != nil:
			return err
		case !live:
			return fmt.Errorf("the proxies at %s, whose prefix is %q, serve the v2 API (hint: --config must be their configuration; move the keys with etcd-tlsproxy migrate switch)", hosts(auto), string(prefix))
		case f.Moved && d.Discard:
			return fmt.Errorf("the v3 store has the keys at the prefix %q, which the proxies at %s serve, so that nothing of the v2 API is to be discarded (hint: give their configuration with --config, and --expect)", string(prefix), hosts(auto))
		}
	}
	return nil
}

// observe finds out how often the v2 API of the members is read in a time, and which members cannot be asked. Without
// a time it looks only whether somebody watches keys.
func (d *Drop) observe(ctx context.Context, m *member, ids []string, found *Doomed, long time.Duration) error {
	source := v2usage.Source{Endpoints: d.Store.Endpoints, User: d.Store.User, Password: d.Store.Password, Key: layout.Keys(d.Store.Prefix).Meta()}
	o, err := source.Observe(ctx, &v2usage.Member{ID: m.id, Name: m.name, Client: m.client}, long)
	if err != nil {
		return err
	}
	found.Reads, found.Unobserved = d.reads+o.Reads, []string{}
	if len(ids) == 0 { // etcd does not show its members
		found.Unobserved = append(found.Unobserved, o.Silent...)
	}
	for i, id := range ids {
		if !o.Asked[id] {
			found.Unobserved = append(found.Unobserved, found.Members[i].Name)
		}
	}
	return nil
}
