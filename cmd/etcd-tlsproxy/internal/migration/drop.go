package migration

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/v2usage"
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
	// DespiteReads means that keys are discarded although somebody reads the v2 API.
	DespiteReads bool
	// Observe is how long [Drop.Check] looks whether somebody still uses the v2 API of the members.
	Observe time.Duration

	// checked and reads are what Check has found.
	checked *Content
	reads   uint64
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
	// Reads is how often the v2 API of the members was read while they were observed.
	Reads uint64 `json:"reads"`
	// Members are those of the cluster. Unobserved are the names of those that could not be asked.
	Members    []Peer   `json:"members"`
	Unobserved []string `json:"unobserved"`
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
	d.reads = 0
	found, err := d.look(ctx, s, d.Observe)
	if err != nil {
		return nil, err
	}
	d.reads = found.Reads
	return found, d.needed(found)
}

// look finds out what there is, and who uses it in a time.
func (d *Drop) look(ctx context.Context, s *store, observe time.Duration) (*Doomed, error) {
	f, err := d.unneeded(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := d.elsewhere(ctx, s); err != nil {
		return nil, err
	}
	if err := d.serves(ctx); err != nil {
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
	if err := m.unlockable(ctx, d.password(s)); err != nil {
		return nil, err
	}
	c, err := d.takeOf(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := unwritten(d.checked, c); err != nil {
		return nil, err
	}
	found := &Doomed{Members: peers}
	if err := d.observe(ctx, m, ids, found, observe); err != nil {
		return nil, err
	}
	d.checked = c
	if behind, err := d.Since(ctx, c); err != nil {
		return nil, err
	} else if behind > 0 {
		if d.checked, err = d.takeOf(ctx, s); err != nil {
			return nil, err
		}
		if err := unwritten(c, d.checked); err != nil {
			return nil, err
		}
	}
	found.Content, found.Nodes, found.Users, found.Roles = d.checked, d.checked.Nodes(), named(d.checked.users), named(d.checked.roles)
	if !d.Discard {
		found.Served, found.Later = len(serving(f)), later(d.checked, f.Left)
	}
	return found, nil
}

// serves returns an error if the member answers, but not at the v2 API. A key that was written there before the last
// member was restarted without it comes with all of them.
func (d *Drop) serves(ctx context.Context) error {
	transport, err := d.Connection.Transport()
	if err != nil || len(d.Connection.Endpoints) != 1 {
		return err
	}
	if has, err := v2usage.Serves(ctx, d.Connection.Endpoints[0], transport); err != nil || has {
		return nil // whoever connects to it says what is wrong
	}
	return fmt.Errorf("the member at %s does not serve the v2 API (hint: if etcd-tlsproxy migrate ready finds nodes there, restart this member alone with --enable-v2, run the command, and restart it without)", d.Connection.Endpoints[0])
}

// password returns that of root with which a switch has locked the v2 API; "" if it is that of the connection.
func (d *Drop) password(s *store) string {
	if s.found == nil || d.Connection.User != "" {
		return ""
	}
	return s.found.V2Password
}

// named returns names that are a list in JSON, although there are none.
func named(names []string) []string { return append([]string{}, names...) }

// nothing reads the v2 store again, and returns an error if it has nodes.
func (d *Drop) nothing(ctx context.Context, s *store) (*Content, error) {
	c, err := d.takeOf(ctx, s)
	switch {
	case err != nil:
	case c.own:
		err = fmt.Errorf("after everything was deleted: %w", used(ownKey))
	case c.Nodes() > 0:
		err = fmt.Errorf("after everything was deleted: %w", used(c.records[0].Key))
	}
	return c, err
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
	defer func() { d.checked, d.reads = nil, 0 }()
	r := &removal{Drop: d, store: s, start: time.Now()}
	r.lock = &holding{store: s, also: r.needless}
	err = r.run(held)
	if err != nil && !d.killed {
		err = errors.Join(err, r.enableAgain(ctx))
	}
	release(d.killed)
	if err != nil && r.unlocked && !d.killed && r.rootPassword() != "" {
		err = errors.Join(err, r.lockAgain(ctx, r.rootPassword()))
	}
	if err != nil {
		return nil, err
	}
	return &r.result, nil
}

// needed returns an error if what was observed says that somebody needs the keys that are to be discarded.
func (d *Drop) needed(found *Doomed) error {
	if !d.Discard || d.DespiteReads || found.Reads == 0 {
		return nil
	}
	return fmt.Errorf("the v2 API of the members was read %d times in %s, so that somebody needs its keys (hint: it is a client of a member, or a proxy with upstream.api = \"v2\"; with --enable-v2, each request for /health counts as well, and --despite-reads deletes the keys nevertheless)", found.Reads, d.Observe)
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
