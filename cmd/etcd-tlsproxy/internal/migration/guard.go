package migration

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// Guard makes the v2 API refuse writes if the tree has the keys, and take them if it has none. A command that was
// killed may have left that undone. It reports whether writes are refused now.
func (r *Rehearsal) Guard(ctx context.Context) (locked bool, err error) {
	return r.guard(ctx, true, func(*layout.Meta) bool { return true })
}

// guard is Guard, if the description of the tree is the one that is wanted. guards is false if it is a part of a command
// that has changed keys.
func (r *Rehearsal) guard(ctx context.Context, guards bool, wanted func(*layout.Meta) bool) (locked bool, err error) {
	s, err := open(ctx, &r.Store, layout.Live, layout.Unfinished)
	if err != nil {
		return false, err
	}
	defer s.client.Close()
	switch {
	case s.meta != 0 && !wanted(s.found):
		return false, nil
	case s.meta == 0 || s.found.V2Password == "" && !lacksLock(s.found):
		return false, errors.New("no command has locked the v2 API, or the users that etcd has there decide who may write (hint: etcd-tlsproxy migrate status says which API has the keys)")
	}
	s.guards = guards
	_, release, err := s.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer release(false)
	m, err := r.anyMember(ctx, s)
	if err != nil {
		return false, err
	}
	if s.found.V2Password == "" {
		if err := m.lockable(ctx, ""); err != nil {
			return false, err
		}
		meta := *s.found
		meta.V2Password = rand.Text()
		if err := s.putMeta(ctx, &meta); err != nil {
			return false, err
		}
		s.found = &meta
	}
	h := &holding{store: s}
	if s.found.State == layout.Live {
		return true, m.lock(ctx, s.found.V2Password, h)
	}
	_, err = m.unlock(ctx, s.found.V2Password, h.still)
	return false, err
}

// lacksLock reports whether the users that etcd had for the v2 API decided at the switch who may write there.
func lacksLock(m *layout.Meta) bool {
	return m.State == layout.Live && m.Moved && m.V2Keys == ""
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
		m, err := r.at(endpoint).connect(ctx)
		if err == nil {
			err = s.adopt(ctx, m, ids)
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
		_, err := r.guard(ctx, false, func(m *layout.Meta) bool { return m.State == layout.Live && m.V2Password == password })
		if err == nil {
			return nil
		}
		if wait(ctx, callPause) != nil {
			return fmt.Errorf("the v2 API perhaps takes writes now, which nobody reads: %w (hint: etcd-tlsproxy migrate lock)", err)
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
	etcd, err := client.New(client.Config{Endpoints: []string{e.URL()}, Transport: transport})
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

// unlock undoes lock with its password, and reports whether there was one. It can be repeated, and undoes nothing that
// the lock has not done.
func (m *member) unlock(ctx context.Context, password string, still func(context.Context) error) (bool, error) {
	if password == "" {
		return false, nil
	}
	enabled, marked, err := m.users(ctx, password)
	if err == nil {
		err = still(ctx)
	}
	if err != nil {
		return false, err
	}
	if enabled {
		if err := m.change(ctx, change{http.MethodDelete, enablePath, nil, password}); err != nil {
			return false, fmt.Errorf("unlocking the v2 API: %w (hint: if somebody else has enabled etcd's own users there, disable them with etcdctl auth disable)", err)
		}
	}
	root, guests := marked, marked
	if !marked {
		if root, guests, err = m.remains(ctx); err != nil {
			return true, fmt.Errorf("unlocking the v2 API: %w", err)
		}
	}
	var changes []change
	if guests {
		changes = append(changes, change{http.MethodPut, guestPath, guestsMayWrite, ""}) // conflict: they may
	}
	if root {
		changes = append(changes, change{http.MethodDelete, rootPath, nil, ""})
	}
	if marked {
		changes = append(changes, change{http.MethodDelete, markPath, nil, ""})
	}
	for _, c := range changes {
		if err := still(ctx); err != nil {
			return true, err
		}
		if err := m.change(ctx, c, http.StatusConflict, http.StatusNotFound); err != nil {
			return true, fmt.Errorf("unlocking the v2 API: %w", err)
		}
	}
	return true, nil
}

// remains reports which parts of a lock are there without the mark.
func (m *member) remains(ctx context.Context) (root, guests bool, err error) {
	if _, root, err = m.root(ctx); err != nil {
		return false, false, err
	}
	var guest rights
	_, err = m.exists(ctx, guestPath, "", &guest)
	return root, guest.own(), err
}

// root reports whether there is a user root, and whether a lock has made it. Etcd's users must not be enabled. Etcd says of
// a user with a role that does not exist that there is no such role.
func (m *member) root(ctx context.Context) (found, own bool, err error) {
	response, body, err := m.client.Do(ctx, change{http.MethodGet, rootPath, nil, ""}) //nolint:bodyclose // Do reads and closes the body
	if err != nil {
		return false, false, cluster.OneLine(err)
	}
	own = bytes.Contains(body, []byte(mark))
	switch response.StatusCode {
	case http.StatusOK:
		return true, own, nil
	case http.StatusNotFound:
		return own, own, nil
	}
	return false, false, fmt.Errorf("etcd answers GET %s with the status %d", rootPath, response.StatusCode)
}
