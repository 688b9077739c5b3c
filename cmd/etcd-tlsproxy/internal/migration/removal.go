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
// that was stopped, or the deletion of a file that etcd executes late, deletes nothing that a client has written since,
// nor anything that a move back has brought: that gives a new index to each file once a deletion has begun. And etcd does
// nothing else for as long as it deletes a large directory.
//
// The deletion of a directory also deletes a file that has its name meanwhile. Such a file is put back when etcd's answer
// says so. If there is no answer, because the command has ended before etcd executes the request, it is lost.
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
	if err := r.elsewhere(ctx, r.store); err != nil {
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
	return e.removeAll(ctx, add, r.remove)
}

// remove deletes a node, unless it is not the one that was read any more. It may have expired.
func (r *removal) remove(ctx context.Context, record *v2store.Record) error {
	c := request{method: http.MethodDelete, key: record.Key, query: url.Values{"dir": {"true"}}}
	edit := r.to.edit
	if record.Dir {
		edit = r.to.deleteDir
	} else {
		c.query = url.Values{"prevIndex": {strconv.FormatUint(record.Modified, 10)}}
	}
	return r.to.rounds(ctx, record.Key, func() (done bool, err error) {
		_, code, err := edit(ctx, c, codeNotFound, codeCompare, codeNotDir, codeNotEmpty)
		switch {
		case isUnanswered(err):
			return false, wait(ctx, callPause)
		case err != nil:
			return false, err
		case code != 0 && code != codeNotFound:
			return false, used(record.Key)
		}
		return true, nil
	})
}

// deleteDir removes a directory. If that has become a file meanwhile, it puts the file back, and returns a code that
// says so.
func (w *v2writer) deleteDir(ctx context.Context, c request, accepted ...int) (*node, int, error) {
	n, code, err := w.edit(ctx, c, accepted...)
	if err != nil || n == nil || n.previous == nil || n.previous.Dir {
		return n, code, err
	}
	form := url.Values{"value": {n.previous.Value}}
	if end := n.previous.Expiration; end != nil {
		form.Set("ttl", seconds(max(time.Until(*end), time.Second)))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockTimeout)
	defer cancel()
	c = request{method: http.MethodPut, key: c.key, query: url.Values{"prevExist": {"false"}}, form: form}
	if _, _, err := w.repeat(ctx, c, codeExists); err != nil {
		return nil, 0, fmt.Errorf("the directory %q has become a file, which was deleted, and is to be put back: %w", c.key, err)
	}
	return nil, codeNotDir, nil
}

// prove reads the v2 store again, which must be empty.
func (r *removal) prove(ctx context.Context) error {
	c, err := r.nothing(ctx, r.store)
	if err != nil {
		return err
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
	if enabled, err := m.enabled(ctx); err != nil || !enabled {
		return err
	}
	if err := r.lock.still(ctx); err != nil {
		return err
	}
	r.unlocked = true // from now on it may be, whatever the answer is
	if err := m.change(ctx, change{http.MethodDelete, enablePath, nil, r.rootPassword()}); err != nil {
		return disabling(err)
	}
	return nil
}

func (r *removal) rootPassword() string { return r.password(r.store) }

// enableAgain enables the users again if they are not those of a lock: the keys are not all gone.
func (r *removal) enableAgain(ctx context.Context) error {
	if !r.unlocked || r.rootPassword() != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockTimeout)
	defer cancel()
	enabled, err := r.to.enabled(ctx)
	if err == nil && !enabled {
		if err = r.lock.still(ctx); err == nil {
			err = r.to.change(ctx, change{http.MethodPut, enablePath, nil, ""})
		}
	}
	if err != nil {
		return fmt.Errorf("the v2 API perhaps takes writes of everybody now: %w (hint: run the command again, which deletes the rest; or enable its users with etcdctl auth enable, if root is among them)", err)
	}
	return nil
}

// removeUsers deletes etcd's own users of the v2 API and their roles, which etcd 3.6 refuses like keys. Root, without whom
// they cannot be enabled again, and the mark of a lock are the last of them.
func (r *removal) removeUsers(ctx context.Context) error {
	var paths []string
	for _, user := range r.result.users {
		if user != "root" {
			paths = append(paths, "/v2/auth/users/"+user)
		}
	}
	for _, role := range r.result.roles {
		if role != mark {
			paths = append(paths, "/v2/auth/roles/"+role)
		}
	}
	if slices.Contains(r.result.users, "root") {
		paths = append(paths, rootPath)
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

// finish says that none of them are there, and forgets the password of the user who is not there either. Everybody could
// write while the users were deleted.
func (r *removal) finish(ctx context.Context) error {
	if _, err := r.nothing(ctx, r.store); err != nil {
		return err
	}
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
