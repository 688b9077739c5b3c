package migration

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// removal is a deletion under way.
//
// It deletes nodes one by one, because etcd has conditions only for these: a file goes if it has the index with which it
// was read before a read has shown that the lock of the tree is held, and a directory goes if it is empty. So a command
// that was stopped, or a request that etcd executes late, deletes nothing that a client has written since, nor anything
// that a move back has brought: that gives a new index to each file once a deletion has begun. And etcd does nothing else
// for as long as it deletes a large directory.
type removal struct {
	*Drop
	store *store
	lock  *holding
	to    *v2writer
	// unlocked is set if etcd's own users were enabled before.
	unlocked bool
	start    time.Time
	result   DroppedKeys
}

func (r *removal) run(ctx context.Context) (err error) {
	if r.result.Doomed, err = r.look(ctx, r.store, 0); err != nil {
		return err
	}
	return r.Fleet.run(ctx, DropSteps, map[string]func(context.Context) error{
		"mark": r.mark, "unlock": r.unlock, "delete": r.delete, "prove": r.prove, "users": r.removeUsers, "finish": r.finish,
	})
}

// needless returns an error if somebody needs the keys now. A tree that has them cannot cease to while the lock is held.
// But where there is none, a proxy that is started would serve the v2 API.
func (r *removal) needless(ctx context.Context) error {
	if !r.Discard {
		return nil
	}
	_, err := r.unneeded(ctx, r.store)
	return err
}

// mark says in the description of the tree, if it has the keys, that those of the v2 API are not all there any more.
func (r *removal) mark(ctx context.Context) error {
	if r.Discard {
		return nil
	}
	meta := *r.store.found
	meta.V2Keys = layout.Dropping
	return r.describe(ctx, &meta)
}

// delete deletes all nodes.
func (r *removal) delete(ctx context.Context) error {
	if _, err := r.unneeded(ctx, r.store); err != nil { // the users have taken a while
		return err
	}
	if _, err := r.store.apart(ctx, r.to); err != nil {
		return err
	}
	if err := r.to.removeOwn(ctx); err != nil {
		return err
	}
	e := edit(r.result.records, nil, sameNode)
	add, done := r.Progress("nodes deleted", int64(len(e.remove)))
	defer done()
	n := 0
	for n < len(e.remove) && !e.remove[n].Dir {
		n++
	}
	if err := spread(ctx, e.remove[:n], add, r.remove); err != nil {
		return err
	}
	return levels(ctx, e.remove[n:], add, r.remove)
}

// remove deletes a node, unless it is not the one that was read any more. It may have expired.
func (r *removal) remove(ctx context.Context, record *v2store.Record) error {
	c := request{method: http.MethodDelete, key: record.Key, query: url.Values{"dir": {"true"}}}
	if !record.Dir {
		c.query = url.Values{"prevIndex": {strconv.FormatUint(record.Modified, 10)}}
	}
	return r.to.rounds(ctx, record.Key, func() (done bool, err error) {
		_, code, err := r.to.edit(ctx, c, codeNotFound, codeCompare, codeNotDir, codeNotEmpty)
		switch {
		case isUnanswered(err):
			return false, pause(ctx)
		case err != nil:
			return false, err
		case code != 0 && code != codeNotFound:
			return false, used(record.Key)
		}
		return true, nil
	})
}

// prove reads the v2 store again, which must be empty.
func (r *removal) prove(ctx context.Context) error {
	c, err := r.take(ctx, r.store)
	switch {
	case err != nil:
		return err
	case c.own:
		return fmt.Errorf("after everything was deleted: %w", used(ownKey))
	case c.Nodes() > 0:
		return fmt.Errorf("after everything was deleted: %w", used(c.records[0].Key))
	}
	r.result.users, r.result.roles = c.users, c.roles
	return nil
}

// unlock lets everybody write: etcd needs too long for each write that comes with a password. Whoever writes until
// the end is found when the store is read again.
func (r *removal) unlock(ctx context.Context) error {
	m, err := r.member(ctx)
	if err != nil {
		return err
	}
	r.to = &v2writer{member: m, held: r.lock.still, now: time.Now}
	var auth struct{ Enabled bool }
	if _, err := m.read(ctx, get{path: enablePath}, &auth); err != nil || !auth.Enabled {
		return err
	}
	if err := r.lock.still(ctx); err != nil {
		return err
	}
	r.unlocked = true // from now on it may be, whatever the answer is
	if err := m.change(ctx, change{http.MethodDelete, enablePath, nil, r.password()}); err != nil {
		return fmt.Errorf("disabling etcd's own users of the v2 API: %w (hint: if they are not those of a switch, give root with --user and --password-file)", err)
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

// enableAgain enables the users again if they are not those of a lock: the keys are not all gone.
func (r *removal) enableAgain(ctx context.Context) error {
	if !r.unlocked || r.password() != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockTimeout)
	defer cancel()
	var auth struct{ Enabled bool }
	_, err := r.to.read(ctx, get{path: enablePath}, &auth)
	if err == nil && !auth.Enabled {
		if err = r.lock.still(ctx); err == nil {
			err = r.to.change(ctx, change{http.MethodPut, enablePath, nil, ""})
		}
	}
	if err != nil {
		return fmt.Errorf("the v2 API perhaps takes writes of everybody now: %w (hint: enable its users with etcdctl auth enable)", err)
	}
	return nil
}

// removeUsers deletes etcd's own users of the v2 API and their roles, which etcd 3.6 refuses like keys. The mark of a lock
// is the last of them.
func (r *removal) removeUsers(ctx context.Context) error {
	var paths []string
	for _, user := range r.result.users {
		paths = append(paths, "/v2/auth/users/"+user)
	}
	for _, role := range r.result.roles {
		if role != mark {
			paths = append(paths, "/v2/auth/roles/"+role)
		}
	}
	if slices.Contains(r.result.roles, mark) {
		paths = append(paths, markPath)
	}
	for _, path := range paths {
		if err := r.lock.still(ctx); err != nil {
			return err
		}
		if err := r.to.change(ctx, change{http.MethodDelete, path, nil, ""}, http.StatusNotFound); err != nil {
			return fmt.Errorf("deleting etcd's own users of the v2 API: %w", err)
		}
	}
	r.unlocked = false // there is nothing left to be enabled
	return nil
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
	if err != nil && r.store.describedAs(ctx, meta) {
		err = nil
	}
	if err == nil {
		r.store.found = meta
	}
	return err
}
