package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
)

// The parts of the lock. Etcd gives its role guest to all who do not log in. The role with the name of mark is put
// before anything else is changed, and removed last: what is found beside it is the lock's, and not somebody else's. The
// others say that by themselves as well, because etcd may execute a request late, when the mark has been removed: the
// user root has that role, and the role guest has guestMark.
const (
	enablePath = "/v2/auth/enable"
	rootPath   = "/v2/auth/users/root"
	guestPath  = "/v2/auth/roles/guest"
	mark       = "etcd-tlsproxy-lock"
	markPath   = "/v2/auth/roles/" + mark
	// guestMark is a key that the role guest may read, as all others, while the lock has changed the role.
	guestMark = "/_" + mark
)

// rights is a role of etcd.
type rights struct {
	Role        string `json:"role"`
	Permissions struct {
		KV struct{ Read, Write []string } `json:"kv"`
	} `json:"permissions"`
}

// mayWrite reports whether the role guest is as etcd makes it.
func (r *rights) mayWrite() bool { return slices.Contains(r.Permissions.KV.Write, "/*") }

// own reports whether the lock has changed the role guest.
func (r *rights) own() bool { return slices.Contains(r.Permissions.KV.Read, guestMark) }

var (
	allKeys           = permissions(nil, []string{"/*"})
	guestsMayNotWrite = map[string]any{"role": "guest", "revoke": allKeys}
	guestsAreLocked   = map[string]any{"role": "guest", "revoke": allKeys, "grant": permissions([]string{guestMark}, nil)}
	guestsMayWrite    = map[string]any{"role": "guest", "grant": allKeys, "revoke": permissions([]string{guestMark}, nil)}
	markRole          = map[string]any{"role": mark, "permissions": permissions(nil, nil)}
)

func permissions(read, write []string) map[string]any {
	return map[string]any{"kv": map[string]any{"read": slices.Concat([]string{}, read), "write": slices.Concat([]string{}, write)}}
}

// lockChanges are those of the lock. Etcd refuses to make a user root with roles if there is one. One that is left of an
// earlier lock is removed, because nobody knows its password.
func lockChanges(password string, left bool) []change {
	changes := []change{{http.MethodPut, markPath, markRole, ""}}
	if left {
		changes = append(changes, change{http.MethodDelete, rootPath, nil, ""})
	}
	return append(changes,
		change{http.MethodPut, rootPath, map[string]any{"user": "root", "password": password, "roles": []string{mark}}, ""},
		change{http.MethodPut, enablePath, nil, ""},
		change{http.MethodPut, guestPath, guestsAreLocked, password})
}

var (
	// errUsers means that the v2 API has users of its own, which decide who may write there.
	errUsers = errors.New("etcd's own users are enabled for the v2 API, so they decide who may still write there (hint: take the rights to write away from them)")
	// errLocked means that an earlier lock is left.
	errLocked = errors.New("the v2 API is locked, although it has the keys (hint: etcd-tlsproxy migrate lock)")
	// errPrepared means that the lock would destroy what somebody has prepared.
	errPrepared = errors.New("etcd's own users are not enabled for the v2 API, but there is a user root or a role guest that was changed, which the lock of the v2 API would replace (hint: remove them, or enable the users and take the rights to write away from them)")
)

// lockable returns an error unless the v2 API can be locked, and nobody has users there who would be lost. The password
// is that of an earlier lock.
func (m *member) lockable(ctx context.Context, password string) error {
	enabled, marked, err := m.users(ctx, password)
	switch {
	case err != nil:
		return err
	case enabled && marked:
		return errLocked
	case enabled:
		return errUsers
	case marked:
		return nil
	}
	root, own, err := m.root(ctx)
	if err != nil {
		return err
	}
	var guest rights
	if found, err := m.exists(ctx, guestPath, "", &guest); err != nil {
		return err
	} else if root && !own || found && (!guest.mayWrite() && !guest.own() || !slices.Contains(guest.Permissions.KV.Read, "/*")) {
		return errPrepared
	}
	return nil
}

// users reports whether etcd's users are enabled, and whether a lock with the password has left its mark.
func (m *member) users(ctx context.Context, password string) (enabled, marked bool, err error) {
	if enabled, err = m.enabled(ctx); err != nil {
		return false, false, err
	}
	if marked, err = m.exists(ctx, markPath, password, nil); enabled && errors.Is(err, errDenied) {
		marked, err = false, nil
	}
	return enabled, marked, err
}

// enabled reports whether etcd's users are enabled.
func (m *member) enabled(ctx context.Context) (bool, error) {
	var auth struct{ Enabled bool }
	_, err := m.read(ctx, get{path: enablePath}, &auth)
	return auth.Enabled, err
}

// writable reports whether the v2 API takes writes of those who do not log in.
func (m *member) writable(ctx context.Context, password string) (bool, error) {
	enabled, marked, err := m.users(ctx, password)
	switch {
	case err != nil || !enabled:
		return true, err
	case !marked:
		return false, errUsers
	}
	var guest rights
	found, err := m.exists(ctx, guestPath, password, &guest)
	return found && guest.mayWrite(), err
}

// errDenied means that only root may see that, and that the password is not root's.
var errDenied = errors.New("etcd refuses the password of root")

// exists reads a user or a role, and reports whether there is one.
func (m *member) exists(ctx context.Context, path, password string, found any) (bool, error) {
	response, body, err := m.client.Do(ctx, change{http.MethodGet, path, nil, password}) //nolint:bodyclose // Do reads and closes the body
	switch {
	case err != nil:
		return false, cluster.OneLine(err)
	case response.StatusCode == http.StatusNotFound:
		return false, nil
	case response.StatusCode == http.StatusUnauthorized:
		return false, errDenied
	case response.StatusCode != http.StatusOK:
		return false, fmt.Errorf("etcd answers GET %s with the status %d", path, response.StatusCode)
	case found != nil && json.Unmarshal(body, found) != nil:
		return false, fmt.Errorf("etcd's answer to GET %s is not valid JSON", path)
	}
	return true, nil
}

// lock makes the v2 API refuse writes, by etcd's own authentication: nobody but its user root, who has the password,
// may write. Reads and the v3 API are not affected. It can be repeated. Nothing in etcd binds these changes to the
// lock of the tree. So the keeper is asked before each of them, and after the last. If one came too late, and the tree
// does not have the keys any more, they are undone.
func (m *member) lock(ctx context.Context, password string, k keeper) error {
	changed, err := m.tryLock(ctx, password, k)
	if err == nil {
		return nil
	}
	if err = fmt.Errorf("locking the v2 API: %w", err); !changed || !errors.Is(err, errLost) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockTimeout)
	defer cancel()
	switch live, unknown := k.live(ctx); {
	case unknown != nil:
		err = errors.Join(err, unknown)
	case !live:
		_, undone := m.unlock(ctx, password, func(context.Context) error { return nil })
		err = errors.Join(err, undone)
	}
	return err
}

// tryLock reports whether anything was changed.
func (m *member) tryLock(ctx context.Context, password string, k keeper) (changed bool, err error) {
	enabled, _, err := m.users(ctx, password)
	if err != nil {
		return false, err
	}
	var changes []change
	if !enabled {
		if err := m.lockable(ctx, password); err != nil {
			return false, err
		}
		left, _, err := m.root(ctx)
		if err != nil {
			return false, err
		}
		changes = lockChanges(password, left)
	} else if writable, err := m.writable(ctx, password); err != nil {
		return false, err
	} else if writable {
		var guest rights
		if _, err := m.exists(ctx, guestPath, password, &guest); err != nil {
			return false, err
		}
		changes = []change{{http.MethodPut, guestPath, guestsAreLocked, password}}
		if guest.own() { // etcd refuses to grant what is granted
			changes[0].body = guestsMayNotWrite
		}
	}
	for _, c := range changes {
		if err := k.still(ctx); err != nil {
			return changed, err
		}
		changed = true
		accepted := []int{http.StatusConflict, http.StatusBadRequest, http.StatusNotFound} // it is so already
		if c.path == rootPath && c.method == http.MethodPut {
			accepted = nil // the password of another user root is not known
		}
		if err := m.change(ctx, c, accepted...); err != nil {
			return changed, err
		}
		if c.path != enablePath {
			continue
		}
		if enabled, _, err := m.users(ctx, password); err != nil {
			return changed, err
		} else if !enabled { // a conflict also means that there is no user root
			return changed, errWritable
		}
	}
	if writable, err := m.writable(ctx, password); err != nil {
		return changed, err
	} else if writable {
		return changed, errWritable
	}
	return changed, k.still(ctx)
}

// keeper knows whether the tree has the keys.
type keeper interface {
	// still returns errLost unless this command has the lock of the tree, as of a moment after the call.
	still(ctx context.Context) error
	// live reports whether the tree has the keys, whoever has the lock.
	live(ctx context.Context) (bool, error)
}

// errWritable means that the changes have had no effect.
var errWritable = errors.New("etcd still takes writes of those who do not log in")
