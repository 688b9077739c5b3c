package migration

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Drop deletes the keys of the v2 API of a cluster, and etcd's own users there. It needs the data folder of a
// member, because etcd does not list hidden keys. Its prefix is that of the tree that proxies serve.
type Drop struct {
	Rehearsal
	// Fleet says how many proxies serve the tree instead.
	Fleet
	// Discard means that there is no such tree, and that nobody needs the keys. It replaces Fleet.Expect.
	Discard bool
	// Observe is how long [Drop.Check] looks whether somebody still uses the v2 API of the member.
	Observe time.Duration

	checked *Content
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
	// Later is the number of files that were written after the keys were moved, as far as that is known. The tree does
	// not have that.
	Later int `json:"later"`
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
	Seconds Seconds `json:"seconds"`
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
	m, err := d.member(ctx)
	if err != nil {
		return nil, err
	}
	ids, peers, err := s.peers(ctx, &d.Store)
	if err != nil {
		return nil, err
	}
	if err := s.owns(ctx, m, ids); err != nil {
		return nil, err
	}
	c, err := d.take(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := d.unchanged(d.checked, c); err != nil {
		return nil, err
	}
	reads, err := d.observe(ctx, m, observe)
	if err != nil {
		return nil, err
	}
	d.checked = c
	if behind, err := d.Since(ctx, c); err != nil {
		return nil, err
	} else if behind > 0 {
		if d.checked, err = d.take(ctx, s); err != nil {
			return nil, err
		}
		if err := d.unchanged(c, d.checked); err != nil {
			return nil, err
		}
	}
	found := &Doomed{Content: d.checked, Nodes: d.checked.Nodes(), Users: d.checked.users, Roles: d.checked.roles, Reads: reads, Members: peers}
	if !d.Discard {
		found.Served, found.Later = len(serving(f)), later(d.checked, f.Left)
	}
	return found, nil
}

// unchanged returns an error if somebody has written to the v2 API since it was read. Etcd goes on expiring nodes there.
func (d *Drop) unchanged(before, now *Content) error {
	if before == nil {
		return nil
	}
	put, gone := changes(before.records, now.records)
	if len(put) > 0 {
		return used(put[0].Key)
	}
	if keys := unexpired(gone, time.Now()); len(keys) > 0 {
		return used(keys[0])
	}
	return nil
}

// used is the error that somebody has written to a key.
func used(key string) error {
	return fmt.Errorf("%q was written at the v2 API meanwhile (hint: find the program, or the proxy with upstream.api = \"v2\", that writes there, and run the command again)", key)
}

// later returns the number of files that were written after an index, at which the keys were moved; 0 is not known.
func later(c *Content, moved uint64) (n int) {
	for i := range c.records {
		if !c.records[i].Dir && moved > 0 && c.records[i].Modified > moved {
			n++
		}
	}
	return n
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

// Run deletes the keys. If it fails or is killed, what it has deleted is gone; it can be run again.
func (d *Drop) Run(ctx context.Context) (*DroppedKeys, error) {
	s, err := openAny(ctx, &d.Store)
	if err != nil {
		return nil, err
	}
	defer s.client.Close()
	held, release, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { d.checked = nil }()
	r := &removal{Drop: d, store: s, start: time.Now()}
	r.lock = &holding{store: s, also: r.needless}
	err = r.run(held)
	if err != nil && !d.killed {
		err = errors.Join(err, r.enableAgain(ctx))
	}
	release(d.killed)
	if err != nil && r.unlocked && !d.killed && r.password() != "" {
		err = errors.Join(err, r.lockAgain(ctx, r.password()))
	}
	if err != nil {
		return nil, err
	}
	return &r.result, nil
}

// usage is how much a member has been used through the v2 API since it was started.
type usage struct {
	Watchers    uint64 `json:"watchers"`
	GetsSuccess uint64 `json:"getsSuccess"`
	GetsFail    uint64 `json:"getsFail"`
}

// observe returns how often the v2 API of the member is read in a time. It is an error if somebody watches keys: each
// of them would be told that it was deleted.
func (d *Drop) observe(ctx context.Context, m *member, long time.Duration) (reads uint64, err error) {
	look := func() (u usage, err error) {
		if _, err = m.read(ctx, get{path: "/v2/stats/store"}, &u); err == nil && u.Watchers > 0 {
			err = fmt.Errorf("%d clients watch keys at the v2 API of the member %s, and would be told that these are deleted (hint: they connect to the member itself, or to a proxy with upstream.api = \"v2\"; stop them, and restart etcd if its /v2/stats/store still counts some)", u.Watchers, m.name)
		}
		return u, err
	}
	before, err := look()
	if err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(long):
	}
	after, err := look()
	return after.GetsSuccess + after.GetsFail - before.GetsSuccess - before.GetsFail, err
}

// Peer is a member of the cluster.
type Peer struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	// Version is "" if the configuration does not name the member.
	Version string `json:"version"`
}

// peers returns the members of the cluster, and nothing if etcd does not show them.
func (s *store) peers(ctx context.Context, o *v2v3.Options) (ids []string, peers []Peer, err error) {
	list, err := s.listMembers(ctx)
	if err != nil {
		return nil, nil, err
	}
	versions := map[uint64]string{}
	for _, e := range o.Endpoints {
		once, cancel := context.WithTimeout(ctx, lockTimeout)
		if p, err := rpc.Probe(once, e, o.User, o.Password); err == nil {
			versions[p.ID] = p.Version
		}
		cancel()
	}
	for _, m := range list {
		ids = append(ids, strconv.FormatUint(m.ID, 16))
		peers = append(peers, Peer{m.Name, memberhost.ID(m.ID).String(), versions[m.ID]})
	}
	return ids, peers, nil
}
