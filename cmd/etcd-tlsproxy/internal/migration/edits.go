package migration

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"etcd-tlsproxy/proxy/v2store"
)

// edits are what makes one tree of another through the v2 API, in this order. What is removed are first the files, and
// then the directories, those below others first: each is empty then.
type edits struct {
	remove, dirs, files []v2store.Record
	// due says what has expired meanwhile.
	due expiries
}

// edit returns how to make a tree that has the nodes to of one that has the nodes from. A directory that is not the
// same is removed and made again: etcd 3.5 does not carry out the update of a directory, and that of 3.4 has no condition,
// so that it could give the directory of a client an end if it was executed late.
func edit(from, to []v2store.Record, same func(from, to *v2store.Record) bool) *edits {
	e := &edits{due: expiriesOf(to)}
	have, want := byKey(from), byKey(to)
	gone := map[string]bool{}
	for i := range from {
		f := &from[i]
		if w := want[f.Key]; w == nil || w.Dir != f.Dir || w.Dir && !same(f, w) {
			gone[f.Key] = true
		}
	}
	isGone := func(key string) bool { return gone[key] }
	for i := range from {
		if anyAbove(from[i].Key, isGone) {
			e.remove = append(e.remove, from[i])
		}
	}
	for i := range to {
		t := &to[i]
		h := have[t.Key]
		there := h != nil && !anyAbove(t.Key, isGone)
		switch {
		case t.Dir && !there:
			e.dirs = append(e.dirs, *t)
		case !t.Dir && (!there || !same(h, t)):
			e.files = append(e.files, *t)
		}
	}
	slices.SortStableFunc(e.remove, func(a, b v2store.Record) int {
		switch {
		case a.Dir && b.Dir:
			return depth(b.Key) - depth(a.Key)
		case a.Dir:
			return 1
		case b.Dir:
			return -1
		}
		return 0
	})
	slices.SortStableFunc(e.dirs, func(a, b v2store.Record) int { return depth(a.Key) - depth(b.Key) })
	return e
}

func (e *edits) count() int { return len(e.remove) + len(e.dirs) + len(e.files) }

func byKey(records []v2store.Record) map[string]*v2store.Record {
	m := make(map[string]*v2store.Record, len(records))
	for i := range records {
		m[records[i].Key] = &records[i]
	}
	return m
}

func depth(key string) int { return strings.Count(key, "/") }

func parent(key string) string { return key[:strings.LastIndexByte(key, '/')] }

// anyAbove reports whether something holds for a key or for one above it.
func anyAbove(key string, holds func(string) bool) bool {
	for ; key != ""; key = parent(key) {
		if holds(key) {
			return true
		}
	}
	return false
}

// expiries are when nodes expire, in nanoseconds since 1970.
type expiries map[string]int64

func expiriesOf(records []v2store.Record) expiries {
	e := expiries{}
	for i := range records {
		if at := records[i].Expires; at != 0 {
			e[records[i].Key] = at
		}
	}
	return e
}

// passed reports whether a node has expired, itself or with a directory above it.
func (e expiries) passed(key string, now time.Time) bool {
	return anyAbove(key, func(key string) bool {
		at, ok := e[key]
		return ok && at <= now.UnixNano()
	})
}

// living returns the nodes that have not expired.
func living(records []v2store.Record, now time.Time) (list []v2store.Record) {
	e := expiriesOf(records)
	for i := range records {
		if !e.passed(records[i].Key, now) {
			list = append(list, records[i])
		}
	}
	return list
}

// sameExpiry reports whether two nodes expire at about the same time. The v2 API takes whole seconds from now on.
func sameExpiry(a, b int64) bool {
	return (a == 0) == (b == 0) && time.Duration(max(a, b)-min(a, b)) <= maxSkew
}

// sameNode reports whether a node of the v2 API is that of the tree, apart from the indexes, which cannot be written.
func sameNode(got, want *v2store.Record) bool {
	return got.Dir == want.Dir && got.Value == want.Value && sameExpiry(got.Expires, want.Expires)
}

// surelySame is sameNode for what etcd has answered: it has the replacement character instead of bytes that are
// not UTF-8.
func surelySame(got, want *v2store.Record) bool {
	return sameNode(got, want) && !strings.ContainsRune(got.Value, utf8.RuneError)
}

// unchanged reports whether a node has had no event. That by which a directory gets another time to live leaves its indexes.
func unchanged(from, to *v2store.Record) bool {
	return from.Dir == to.Dir && from.Created == to.Created && from.Modified == to.Modified && from.Expires == to.Expires
}

// same reports whether a node of the v2 API can stay as it is. A file that has changed since the keys were moved cannot:
// an earlier command may still be about to make of it what it was once. If one has deleted keys, none can: it may still
// be about to delete the rest.
func (r *retreat) same(from, to *v2store.Record) bool {
	same := surelySame
	if r.DataDir != "" {
		same = sameNode
	}
	return same(from, to) && (to.Dir || to.Modified <= r.meta.Left && r.meta.V2Keys == "")
}

// read reads the v2 API: from the files of a member if there are any, and otherwise what it lists, and the hidden
// nodes that the tree knows.
func (r *retreat) read(ctx context.Context) ([]v2store.Record, error) {
	if r.DataDir != "" {
		c, err := r.at(r.Connection.Endpoints[0]).takeAll(ctx)
		if err != nil {
			return nil, err
		}
		return c.records, nil
	}
	all, _, err := r.to.readAll(ctx)
	if err != nil {
		return nil, err
	}
	var unlisted []string
	for i := range r.records {
		if key := r.records[i].Key; strings.HasPrefix(key[len(parent(key)):], "/_") {
			unlisted = append(unlisted, key)
		}
	}
	var mu sync.Mutex
	err = spread(ctx, unlisted, func(int64) {}, func(ctx context.Context, key *string) error {
		list, err := r.to.below(ctx, *key)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, list...)
		return err
	})
	return all, err
}

// maxSenders is how many writes to the v2 API are under way. Etcd agrees on them together.
const maxSenders = 64

// spread does something for each of a list, maxSenders at a time.
func spread[T any](ctx context.Context, list []T, add func(int64), do func(context.Context, *T) error) error {
	senders, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	var mu sync.Mutex // only one goroutine may report
	for range min(maxSenders, len(list)) {
		senders.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(list) {
					return nil
				}
				if err := do(ctx, &list[i]); err != nil {
					return err
				}
				mu.Lock()
				add(1)
				mu.Unlock()
			}
		})
	}
	return senders.Wait()
}

// removeAll removes what is to be removed, in its order.
func (e *edits) removeAll(ctx context.Context, add func(int64), remove func(context.Context, *v2store.Record) error) error {
	files := 0
	for files < len(e.remove) && !e.remove[files].Dir {
		files++
	}
	if err := spread(ctx, e.remove[:files], add, remove); err != nil {
		return err
	}
	return levels(ctx, e.remove[files:], add, remove)
}

// levels does something for directories, those of one depth after those of another.
func levels(ctx context.Context, dirs []v2store.Record, add func(int64), do func(context.Context, *v2store.Record) error) error {
	for len(dirs) > 0 {
		n := 0
		for n < len(dirs) && depth(dirs[n].Key) == depth(dirs[0].Key) {
			n++
		}
		if err := spread(ctx, dirs[:n], add, do); err != nil {
			return err
		}
		dirs = dirs[n:]
	}
	return nil
}
