package migration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// unlock lets everybody write: etcd needs too long for each write that comes with a password. Whoever writes until
// the end is found when the store is read again.
func (r *removal) unlock(ctx context.Context) error {
	m, err := r.member(ctx)
	if err != nil {
		return err
	}
	r.to = &v2writer{member: m}
	var auth struct{ Enabled bool }
	if _, err := m.read(ctx, get{path: "/v2/auth/enable"}, &auth); err != nil || !auth.Enabled {
		return err
	}
	r.unlocked = true // from now on it may be, whatever the answer is
	if err := m.change(ctx, change{http.MethodDelete, "/v2/auth/enable", nil, r.password()}); err != nil {
		return fmt.Errorf("disabling etcd's own users of the v2 API: %w (hint: give the user root with --user and --password-file)", err)
	}
	return nil
}

// password returns that of root with which a switch has locked the v2 API; "" if it is that of the connection.
func (r *removal) password() string {
	if r.store.found == nil || r.Connection.User != "" {
		return ""
	}
	return r.store.found.V2Password
}

// lockAgain enables the users again: the keys are not all gone.
func (r *removal) lockAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockTimeout)
	defer cancel()
	var err error
	if password := r.password(); password != "" {
		err = r.lockV2(ctx, password)
	} else {
		err = r.to.change(ctx, change{http.MethodPut, "/v2/auth/enable", nil, ""})
	}
	if err != nil && !errors.Is(err, errUsers) { // nothing has disabled them
		return fmt.Errorf("the v2 API takes writes now, which nobody reads: %w", err)
	}
	return nil
}

// removeUsers deletes etcd's own users of the v2 API and their roles, which etcd 3.6 refuses like keys.
func (r *removal) removeUsers(ctx context.Context) error {
	var paths []string
	for _, user := range r.result.users {
		paths = append(paths, "/v2/auth/users/"+user)
	}
	for _, role := range r.result.roles {
		paths = append(paths, "/v2/auth/roles/"+role)
	}
	for _, path := range paths {
		if err := r.to.change(ctx, change{http.MethodDelete, path, nil, ""}); err != nil {
			return fmt.Errorf("deleting etcd's own users of the v2 API: %w", err)
		}
	}
	r.unlocked = false // there is nothing left to be enabled
	return nil
}

// usage is how much a member has been used through the v2 API since it was started.
type usage struct {
	Watchers    uint64 `json:"watchers"`
	GetsSuccess uint64 `json:"getsSuccess"`
	GetsFail    uint64 `json:"getsFail"`
}

// observe returns how often the v2 API of the member is read in a time. It is an error if somebody watches keys: each
// of them would be told that it was deleted.
func (d *Drop) observe(ctx context.Context, long time.Duration) (reads uint64, err error) {
	m, err := d.member(ctx)
	if err != nil {
		return 0, err
	}
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

// peers returns the members of the cluster.
func (s *store) peers(ctx context.Context, o *v2v3.Options) (peers []Peer, err error) {
	var list *pb.MemberListResponse
	err = s.call(ctx, func(ctx context.Context) (err error) {
		if list, err = s.client.Cluster().MemberList(ctx, &pb.MemberListRequest{}); rpc.Denied(err) {
			err = nil // etcd shows them to its root only
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the members: %w", err)
	}
	versions := map[uint64]string{}
	for _, e := range o.Endpoints {
		once, cancel := context.WithTimeout(ctx, lockTimeout)
		if p, err := rpc.Probe(once, e, o.User, o.Password); err == nil {
			versions[p.ID] = p.Version
		}
		cancel()
	}
	for _, m := range list.GetMembers() {
		peers = append(peers, Peer{m.Name, memberhost.ID(m.ID).String(), versions[m.ID]})
	}
	return peers, nil
}
