package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// maxLag is how long a member may need to catch up with the others before writes are held.
const maxLag = time.Minute

// connectAll connects to each endpoint. All of them must be members of the cluster that has the store: that of another
// one would be written, too.
func (r *retreat) connectAll(ctx context.Context) error {
	ids, err := r.store.members(ctx)
	if err != nil {
		return err
	}
	for _, endpoint := range r.Connection.Endpoints {
		m, err := r.at(endpoint).connect(ctx)
		if err != nil {
			return fmt.Errorf("%w (hint: leave a member that is dead out of --endpoints)", err)
		}
		if err := r.store.adopt(ctx, m, ids); err != nil {
			return fmt.Errorf("the endpoint %s: %w", endpoint, err)
		}
		r.members = append(r.members, m)
	}
	if len(r.members) == 0 {
		return errors.New("--endpoints names no endpoint")
	}
	return nil
}

// connectRest connects to the members that --endpoints does not name, but for those that are said to be dead: clients read
// from all of them. Their URLs are those by which proxies reach them: what they advertise is often that of a proxy. A member
// that only its own machine reaches is named. If etcd does not show its members, they are those that proxies reach.
func (r *retreat) connectRest(ctx context.Context) error {
	list, err := r.store.listMembers(ctx)
	if err != nil {
		return err
	}
	shown := len(list) > 0
	var urls []string
	for _, e := range r.Store.Endpoints {
		urls = append(urls, e.URL())
		if !shown {
			list = append(list, &pb.Member{Name: e.Addr, ClientURLs: []string{e.URL()}})
		}
	}
	var known []string
	for _, p := range list {
		id := strconv.FormatUint(p.ID, 16)
		has := func(m *member) bool { return m.id == id }
		known = append(known, p.Name, memberhost.ID(p.ID).String())
		if p.IsLearner || slices.ContainsFunc(r.members, has) || r.isDead(p) {
			continue
		}
		if !shown {
			id, urls = "", p.ClientURLs
		}
		m, err := r.memberAt(ctx, urls, id)
		if err != nil {
			r.Note(fmt.Sprintf("nobody waits until the member %q, %s, has the keys, so that clients may read old ones there for a while if it lags: %v (hint: give its client URL with --endpoints as well, or name it with --dead)", p.Name, memberhost.ID(p.ID), err))
			continue
		}
		if err := r.store.adopt(ctx, m, nil); err != nil {
			return fmt.Errorf("the member %q: %w", p.Name, err)
		}
		if id = m.id; !slices.ContainsFunc(r.members, has) {
			r.members = append(r.members, m)
		}
	}
	for _, name := range r.Dead {
		if !slices.Contains(known, name) {
			return fmt.Errorf("--dead names %q, which is none of the members (hint: etcdctl member list)", name)
		}
	}
	return nil
}

// members returns the ids of the members, or nothing if etcd does not show them.
func (s *store) members(ctx context.Context) (ids []string, err error) {
	list, err := s.listMembers(ctx)
	for _, m := range list {
		ids = append(ids, strconv.FormatUint(m.ID, 16))
	}
	return ids, err
}

func (s *store) listMembers(ctx context.Context) ([]*pb.Member, error) {
	var list *pb.MemberListResponse
	err := s.call(ctx, func(ctx context.Context) (err error) {
		if list, err = s.client.Cluster().MemberList(ctx, &pb.MemberListRequest{}); rpc.Denied(err) {
			err = nil // etcd shows them to its root only
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the members: %w", err)
	}
	return list.GetMembers(), nil
}

// adopt is owns for a member whose answers must be those of the cluster from now on.
func (s *store) adopt(ctx context.Context, m *member, ids []string) error {
	m.cluster = memberhost.ID(s.cluster)
	return s.owns(ctx, m, ids)
}

// owns returns an error unless a member is one of the cluster that has the store. Clusters of one member that were
// started without names have the same ids. So the index of the cluster's log is compared, too: a read through the
// member makes an entry there.
func (s *store) owns(ctx context.Context, m *member, ids []string) error {
	if len(ids) > 0 && !slices.Contains(ids, m.id) {
		return fmt.Errorf("it is the member %s, which the v3 store of the configuration does not have (hint: --endpoints must name members of the cluster in upstream.endpoints)", m.id)
	}
	before, err := s.raftIndex(ctx)
	if err != nil {
		return err
	}
	if _, err := m.index(ctx); err != nil {
		return err
	}
	var root struct{}
	head, err := m.read(ctx, get{"/v2/keys/", "quorum=true"}, &root)
	if err != nil {
		return err
	}
	at, err := strconv.ParseUint(head.Get("X-Raft-Index"), 10, 64)
	if err != nil {
		return errors.New("its answer has no X-Raft-Index, so that it is not etcd's")
	}
	after, err := s.raftIndex(ctx)
	if err == nil && (at <= before || at > after) {
		err = fmt.Errorf("the log of its cluster is at the index %d, and that of the v3 store of the configuration between %d and %d: these are two clusters with the same id (hint: --endpoints must name members of the cluster in upstream.endpoints)", at, before, after)
	}
	return err
}

// raftIndex returns the index of the log of the cluster, which is no older than the call.
func (s *store) raftIndex(ctx context.Context) (index uint64, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		if _, err := s.client.Range(ctx, &pb.RangeRequest{Key: s.keys.Meta(), KeysOnly: true}); err != nil {
			return err
		}
		status, err := s.client.Maintenance().Status(ctx, &pb.StatusRequest{})
		if err == nil {
			index = status.RaftIndex
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reading the index of the cluster's log: %w", err)
	}
	return index, nil
}

// apart makes sure that what is written to the v2 API through a member does not come to the tree. It returns what was
// written.
func (s *store) apart(ctx context.Context, w *v2writer) (*node, error) {
	before, err := s.revisionOfOwn(ctx)
	if err != nil {
		return nil, err
	}
	n, err := w.putOwn(ctx)
	if err != nil {
		return nil, err
	}
	after, err := s.revisionOfOwn(ctx)
	if err == nil && after > before {
		err = errors.Join(errProxy, w.removeOwn(ctx))
	}
	return n, err
}

// revisionOfOwn returns the revision of the key of the command in the tree, and 0 if it is not there. It may be left of a
// release that has moved it.
func (s *store) revisionOfOwn(ctx context.Context) (revision int64, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		found, err := s.client.Range(ctx, &pb.RangeRequest{Key: s.keys.File(ownKey), KeysOnly: true})
		if err == nil && len(found.Kvs) > 0 {
			revision = found.Kvs[0].ModRevision
		}
		return err
	})
	return revision, err
}

// caughtUp waits until each member has what was written: it answers plain reads from that.
func (r *retreat) caughtUp(ctx context.Context) error {
	for _, m := range r.members {
		if err := m.reach(ctx, r.to.last.Load()); err != nil {
			return err
		}
	}
	return nil
}

// reach waits until a member itself has an index.
func (m *member) reach(ctx context.Context, want uint64) error {
	pause, failures := 20*time.Millisecond, 0
	for index := uint64(0); ; {
		response, _, err := m.client.Do(ctx, get{path: "/v2/keys" + ownKey}) //nolint:bodyclose // Do reads and closes the body
		switch {
		case err == nil:
			if index, err = m.own(response.Header); err != nil || index >= want {
				return err
			}
			pause, failures = 20*time.Millisecond, 0
		case ctx.Err() == nil && failures < maxCalls:
			pause = callPause
			failures++
		case ctx.Err() == nil || index == 0:
			return fmt.Errorf("the member %s does not answer: %w (hint: leave a member that is dead out of --endpoints)", m.name, cluster.OneLine(err))
		}
		if wait(ctx, pause) != nil {
			return fmt.Errorf("the member %s has the index %d, want %d: it is slower than the others (hint: repair it, or leave it out of --endpoints and of those of all proxies)", m.name, index, want)
		}
	}
}

// errProxy means that what was written to the v2 API went to the tree.
var errProxy = errors.New("--endpoints leads to a proxy that serves the v3 store (hint: give the client URLs of members, which run with --enable-v2)")
