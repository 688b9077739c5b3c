package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"etcd-tlsproxy/proxy/v2v3/changeover"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// Drop deletes the keys of the v2 API of a cluster, and etcd's own users there. It needs the data folder of a
// member, because etcd does not list hidden keys. Its prefix is that of the tree that proxies serve.
type Drop struct {
	Rehearsal
	// Fleet says how many proxies serve the tree instead.
	Fleet
	// Discard means that there is no such tree, and that nobody needs the keys. It replaces Fleet.Expect.
	Discard bool
	// Observe is how long [Drop.Check] looks whether somebody still reads the v2 API of the member.
	Observe time.Duration
}

// DropSteps are those of a deletion, in their order. Etcd's own users are out of the way from "unlock" on, and are
// deleted last.
var DropSteps = []string{"mark", "unlock", "delete", "prove", "users", "finish"}

// Doomed is what a deletion would delete, and who would notice.
type Doomed struct {
	*Content
	Nodes int `json:"nodes"`
	// Users and Roles are etcd's own of the v2 API.
	Users []string `json:"users"`
	Roles []string `json:"roles"`
	// Reads is how often the v2 API of the member was read while it was observed.
	Reads uint64 `json:"reads"`
	// Members are those of the cluster.
	Members []Peer `json:"members"`
	// Served is the number of proxies that serve the tree instead.
	Served int `json:"served"`
}

// DroppedKeys says how a deletion went.
type DroppedKeys struct {
	*Doomed
	// Requests is the number of deletions that etcd has executed, each of a part of the tree.
	Requests int     `json:"requests"`
	Seconds  Seconds `json:"seconds"`
}

// Check returns what would be deleted, and an error unless nobody needs it.
func (d *Drop) Check(ctx context.Context) (*Doomed, error) {
	s, err := openAny(ctx, &d.Store)
	if err != nil {
		return nil, err
	}
	defer s.client.Close()
	return d.look(ctx, s, d.Observe)
}

// look finds out what there is, and who uses it in a time.
func (d *Drop) look(ctx context.Context, s *store, observe time.Duration) (*Doomed, error) {
	f, err := d.unneeded(ctx, s)
	if err != nil {
		return nil, err
	}
	reads, err := d.observe(ctx, observe)
	if err != nil {
		return nil, err
	}
	c, err := d.take(ctx, s)
	if err != nil {
		return nil, err
	}
	peers, err := s.peers(ctx, &d.Store)
	if err != nil {
		return nil, err
	}
	found := &Doomed{Content: c, Nodes: c.Nodes(), Users: c.users, Roles: c.roles, Reads: reads, Members: peers}
	if !d.Discard {
		found.Served = serving(f)
	}
	return found, nil
}

// take reads the v2 store, and makes sure that all of it was read.
func (d *Drop) take(ctx context.Context, s *store) (*Content, error) {
	c, err := d.Take(ctx)
	if err != nil {
		return nil, err
	}
	if n := &c.Differences; n.Count > 0 {
		return nil, fmt.Errorf("the files of the member are not what it answers: %d differences, the first is that %q %s", n.Count, n.First[0].Key, n.First[0].What)
	}
	return c, c.belongs(s.cluster)
}

// unneeded returns an error unless the proxies serve the tree, or there is none and nobody needs the keys.
func (d *Drop) unneeded(ctx context.Context, s *store) (f *changeover.Fleet, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		f, err = changeover.Look(ctx, s.client, s.keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	live, err := f.HasKeys()
	switch n := serving(f); {
	case err != nil:
		return nil, err
	case live && d.Discard:
		return nil, errors.New("the v3 store has the keys, so that nothing of the v2 API is to be discarded (hint: say with --expect how many proxies serve that store)")
	case live && n != d.Expect:
		return nil, fmt.Errorf("%d proxies serve the v3 store (%s), want %d (hint: a proxy with upstream.api = \"v2\" serves what would be deleted; etcd-tlsproxy migrate status lists the others)", n, hosts(f.Members), d.Expect)
	case live:
		return f, nil
	case len(followers(f)) > 0:
		return nil, fmt.Errorf("the proxies at %s serve the v2 API (hint: move its keys with etcd-tlsproxy migrate switch)", hosts(followers(f)))
	case !d.Discard:
		return nil, errors.New("the v3 store does not have the keys, so that they would be lost (hint: move them with etcd-tlsproxy migrate switch; --discard deletes keys that nobody needs)")
	}
	return f, nil
}

// serving returns the number of proxies that have a session. One that follows the changeover has others besides: that
// of the tree, and for some seconds that of a tree which it has served before.
func serving(f *changeover.Fleet) (n int) {
	auto, other := map[string]int{}, map[string]int{}
	for _, m := range f.Members {
		if m.Auto {
			auto[m.Host]++
			n++
		} else {
			other[m.Host]++
		}
	}
	for host, all := range other {
		if auto[host] == 0 {
			n += all
		}
	}
	return n
}

// Run deletes the keys. If it fails or is killed, what it has deleted is gone; it can be run again.
func (d *Drop) Run(ctx context.Context) (*DroppedKeys, error) {
	s, err := openAny(ctx, &d.Store)
	if err != nil {
		return nil, err
	}
	defer s.client.Close()
	release, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { release(d.killed) }()
	r := &removal{Drop: d, store: s, start: time.Now()}
	if r.result.Doomed, err = d.look(ctx, s, 0); err != nil {
		return nil, err
	}
	err = d.Fleet.run(ctx, DropSteps, map[string]func(context.Context) error{
		"mark": r.mark, "unlock": r.unlock, "delete": r.delete, "prove": r.prove, "users": r.removeUsers, "finish": r.finish,
	})
	if err != nil {
		if r.unlocked && !d.killed {
			err = errors.Join(err, r.lockAgain(ctx))
		}
		return nil, err
	}
	return &r.result, nil
}

// mark says in the description of the tree, if there is one, that the keys of the v2 API are not all there any more.
func (r *removal) mark(ctx context.Context) error {
	if r.Discard {
		return nil
	}
	meta := *r.store.found
	meta.V2Keys = layout.Dropping
	return r.describe(ctx, &meta)
}

// finish says that none of them are there, and forgets the password of the user who is not there either.
func (r *removal) finish(ctx context.Context) error {
	r.result.Seconds = since(r.start)
	if r.Discard {
		return nil
	}
	meta := *r.store.found
	meta.V2Keys, meta.V2Password = layout.Dropped, ""
	return r.describe(ctx, &meta)
}

// describe puts the description of the tree.
func (r *removal) describe(ctx context.Context, meta *layout.Meta) error {
	err := r.store.putMeta(ctx, meta)
	if err == nil {
		r.store.found = meta
	}
	return err
}
