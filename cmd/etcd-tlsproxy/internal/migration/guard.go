package migration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Guard makes the v2 API refuse writes if the tree has the keys, and take them if it has none. A command that was
// killed may have left that undone. It reports whether writes are refused now.
func (r *Rehearsal) Guard(ctx context.Context) (locked bool, err error) {
	return r.guard(ctx, func(*layout.Meta) bool { return true })
}

// guard is Guard, if the description of the tree is the one that is wanted.
func (r *Rehearsal) guard(ctx context.Context, wanted func(*layout.Meta) bool) (locked bool, err error) {
	s, err := open(ctx, &r.Store, layout.Live, layout.Unfinished)
	if err != nil {
		return false, err
	}
	defer s.client.Close()
	switch {
	case s.meta != 0 && !wanted(s.found):
		return false, nil
	case s.meta == 0 || s.found.V2Password == "":
		return false, errors.New("no command has locked the v2 API, or the users that etcd has there decide who may write (hint: etcd-tlsproxy migrate status says which API has the keys)")
	}
	_, release, err := s.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer release(false)
	m, err := r.anyMember(ctx, s)
	if err != nil {
		return false, err
	}
	h := &holding{store: s}
	if s.found.State == layout.Live {
		return true, m.lock(ctx, s.found.V2Password, h)
	}
	_, err = m.unlock(ctx, s.found.V2Password, h.still)
	return false, err
}

// anyMember connects to the first endpoint that is a member of the cluster that has the store: the v2 API of another one
// must not be locked, or unlocked.
func (r *Rehearsal) anyMember(ctx context.Context, s *store) (*member, error) {
	ids, err := s.members(ctx)
	if err != nil {
		return nil, err
	}
	failed := errors.New("--endpoints names no endpoint")
	for i, endpoint := range r.Connection.Endpoints {
		one := *r
		one.Connection.Endpoints = []string{endpoint}
		m, err := one.connect(ctx)
		if err == nil {
			m.cluster = memberhost.ID(s.cluster)
			err = s.owns(ctx, m, ids)
		}
		switch {
		case err == nil:
			return m, nil
		case i == 0:
			failed = fmt.Errorf("the endpoint %s: %w", endpoint, err)
		}
	}
	return nil, failed
}

// lockAgain makes the v2 API refuse writes again if the tree still has the keys that were moved with a password. If
// another command has moved them meanwhile, they are the v2 API's.
func (r *Rehearsal) lockAgain(ctx context.Context, password string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockTimeout)
	defer cancel()
	for {
		_, err := r.guard(ctx, func(m *layout.Meta) bool { return m.State == layout.Live && m.V2Password == password })
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the v2 API perhaps takes writes now, which nobody reads: %w (hint: etcd-tlsproxy migrate lock)", err)
		case <-time.After(callPause):
		}
	}
}

// Unguarded reports whether the tree has the keys, was moved from the v2 API, and a member still takes writes there,
// which nobody reads. Without the keys of the v2 API there is no lock. The error is that of a member that does not answer.
func Unguarded(ctx context.Context, store *rpc.Client, keys layout.Keys, members []rpc.Endpoint) (bool, error) {
	found, err := store.Range(ctx, &pb.RangeRequest{Key: keys.Meta()})
	if err != nil {
		return false, errors.New(rpc.Reason(err))
	}
	if len(found.Kvs) == 0 {
		return false, nil
	}
	meta, err := layout.DecodeMeta(found.Kvs[0].Value)
	if err != nil || meta.State != layout.Live || !meta.Moved || meta.V2Keys == layout.Dropped {
		return false, err
	}
	for _, e := range members {
		writable, err := takesWrites(ctx, e, meta.V2Password)
		if writable || err != nil {
			return writable, err
		}
	}
	return false, nil
}

// takesWrites reports whether a member has the v2 API, and takes writes there.
func takesWrites(ctx context.Context, e rpc.Endpoint, password string) (bool, error) {
	transport := &http.Transport{TLSClientConfig: e.TLS}
	defer transport.CloseIdleConnections()
	scheme := "http://"
	if e.TLS != nil {
		scheme = "https://"
	}
	etcd, err := client.New(client.Config{Endpoints: []string{scheme + e.Addr}, Transport: transport})
	if err != nil {
		return false, err
	}
	m := &member{client: etcd}
	if has, err := m.exists(ctx, enablePath, "", nil); err != nil || !has {
		return false, err
	}
	writable, err := m.writable(ctx, password)
	if errors.Is(err, errUsers) {
		return false, nil
	}
	return writable, err
}
