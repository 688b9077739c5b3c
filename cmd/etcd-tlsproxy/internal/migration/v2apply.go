package migration

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

const (
	// trial is how long a file lives that was created and is not confirmed. Etcd needs much less for two writes.
	trial = 10 * time.Second
	// maxRounds bounds how often a node is looked at again, because it is not what it was when it was read.
	maxRounds = 10
	// settling is more than etcd needs to end a request whose client has left: 7 s unless its election timeout is
	// raised.
	settling = 15 * time.Second
)

// apply makes edits.
func (w *v2writer) apply(ctx context.Context, e *edits, add func(int64)) error {
	err := e.removeAll(ctx, add, func(ctx context.Context, r *v2store.Record) error {
		if r.Dir {
			return w.removeDir(ctx, r.Key)
		}
		return w.removeFile(ctx, r.Key)
	})
	if err == nil {
		err = levels(ctx, e.dirs, add, func(ctx context.Context, r *v2store.Record) error { return w.putDir(ctx, e, r) })
	}
	if err == nil {
		err = spread(ctx, e.files, add, func(ctx context.Context, r *v2store.Record) error { return w.putFile(ctx, e, r) })
	}
	return err
}

// apply makes edits. Before the first it says so in the description, so that a later command waits until etcd executes none
// of them any more: some have no condition.
func (r *retreat) apply(ctx context.Context, e *edits, add func(int64)) error {
	if e.count() > 0 && !r.meta.V2Edits {
		if err := r.describe(ctx, func(m *layout.Meta) { m.V2Edits = true }); err != nil {
			return err
		}
	}
	return r.to.apply(ctx, e, add)
}

// learn takes the indexes of nodes that were read.
func (w *v2writer) learn(records []v2store.Record) {
	w.indexes = make(map[string]uint64, len(records))
	for i := range records {
		if !records[i].Dir {
			w.indexes[records[i].Key] = records[i].Modified
		}
	}
}

// known returns the index of a file, or 0 if it is not known that there is one.
func (w *v2writer) known(key string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.indexes[key]
}

func (w *v2writer) know(key string, index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.indexes[key] = index
}

// edit sends a write that follows from what was read before. The caller looks again if there is no answer.
func (w *v2writer) edit(ctx context.Context, c request, accepted ...int) (*node, int, error) {
	if err := w.held(ctx); err != nil {
		return nil, 0, err
	}
	n, code, err := w.send(ctx, c, accepted...)
	if (isUnanswered(err) || ctx.Err() != nil) && !c.query.Has("prevIndex") {
		w.unsettled.Store(true)
	}
	return n, code, err
}

// putFile writes a file, unless it has expired meanwhile. It would make a directory that is permanent of one that has.
func (w *v2writer) putFile(ctx context.Context, e *edits, r *v2store.Record) error {
	return w.rounds(ctx, r.Key, func() (done bool, err error) {
		now := w.now()
		if e.due.passed(r.Key, now) {
			return true, nil
		}
		c := request{method: http.MethodPut, key: r.Key, query: url.Values{}, form: url.Values{"value": {r.Value}}}
		var left time.Duration
		if r.Expires != 0 {
			left = time.Duration(r.Expires - now.UnixNano())
			c.form.Set("ttl", seconds(left))
		}
		index := w.known(r.Key)
		if index != 0 {
			c.query.Set("prevIndex", strconv.FormatUint(index, 10))
		} else {
			c.query.Set("prevExist", "false")
			if r.Expires == 0 || left > trial {
				c.form.Set("ttl", seconds(trial))
			}
		}
		n, code, err := w.edit(ctx, c, codeNotFound, codeCompare, codeExists)
		switch {
		case err == nil && n != nil:
			w.know(r.Key, n.ModifiedIndex)
			return index != 0 || r.Expires != 0 && left <= trial, nil
		case code == codeNotFound: // it has expired
			w.know(r.Key, 0)
			return false, nil
		case err != nil && !isUnanswered(err):
			return false, err
		}
		found, err := w.look(ctx, r.Key)
		return found != nil && surelySame(found, r), err
	})
}

// removeFile removes a file.
func (w *v2writer) removeFile(ctx context.Context, key string) error {
	return w.rounds(ctx, key, func() (done bool, err error) {
		index := w.known(key)
		if index == 0 {
			found, err := w.look(ctx, key)
			return found == nil, err
		}
		c := request{method: http.MethodDelete, key: key, query: url.Values{"prevIndex": {strconv.FormatUint(index, 10)}}}
		_, code, err := w.edit(ctx, c, codeNotFound, codeCompare)
		switch {
		case err == nil && code != codeCompare:
			w.know(key, 0)
			return true, nil
		case err != nil && !isUnanswered(err):
			return false, err
		}
		found, err := w.look(ctx, key)
		return found == nil, err
	})
}

// look learns the index of a file that may have been changed.
func (w *v2writer) look(ctx context.Context, key string) (*v2store.Record, error) {
	found, err := w.find(ctx, key)
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		w.know(key, 0)
	case found.Dir:
		return nil, fmt.Errorf("%q is a directory of the v2 API, want a file or nothing (hint: somebody writes to etcd past the proxies; run the command again)", key)
	default:
		w.know(key, found.Modified)
	}
	return found, nil
}

// removeDir removes a directory, which is empty.
func (w *v2writer) removeDir(ctx context.Context, key string) error {
	return w.rounds(ctx, key, func() (done bool, err error) {
		_, code, err := w.edit(ctx, request{method: http.MethodDelete, key: key, query: url.Values{"dir": {"true"}}}, codeNotFound, codeNotEmpty)
		switch {
		case code == codeNotEmpty:
			return false, fmt.Errorf("the directory %q of the v2 API has a node that the tree does not have, and that was not read; it is hidden, or somebody writes to etcd past the proxies (hint: run the command on the machine of a member, with --data-dir)", key)
		case isUnanswered(err):
			found, err := w.find(ctx, key)
			return found == nil, err
		}
		return true, err
	})
}

// putDir makes a directory.
func (w *v2writer) putDir(ctx context.Context, e *edits, r *v2store.Record) error {
	return w.rounds(ctx, r.Key, func() (done bool, err error) {
		now := w.now()
		if e.due.passed(r.Key, now) {
			return true, nil
		}
		c := request{method: http.MethodPut, key: r.Key, query: url.Values{"prevExist": {"false"}}, form: url.Values{"dir": {"true"}}}
		if r.Expires != 0 {
			c.form.Set("ttl", seconds(time.Duration(r.Expires-now.UnixNano())))
		}
		_, _, err = w.edit(ctx, c, codeExists)
		if isUnanswered(err) {
			found, err := w.find(ctx, r.Key)
			return found != nil && found.Dir, err
		}
		return true, err
	})
}

// rounds does something until it is done.
func (w *v2writer) rounds(ctx context.Context, key string, do func() (done bool, err error)) error {
	for range maxRounds {
		if done, err := do(); err != nil || done {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("%q of the v2 API is not what it was made, after %d attempts (hint: somebody writes to etcd past the proxies, or etcd is too slow)", key, maxRounds)
}

// settle waits until etcd cannot execute any write any more that it has not answered.
func (w *v2writer) settle(ctx context.Context, long time.Duration) error {
	if !w.unsettled.Load() {
		return nil
	}
	if _, err := w.index(ctx); err != nil {
		return err
	}
	if err := wait(ctx, long); err != nil {
		return err
	}
	if _, err := w.index(ctx); err != nil {
		return err
	}
	w.unsettled.Store(false)
	return nil
}
