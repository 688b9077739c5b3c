package migration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

const (
	// maxPasses bounds how often the index is raised to where that of the tree has got meanwhile.
	maxPasses = 10
	// maxRest is how far it may be below when writes are held.
	maxRest = 1_000
	// keptEvents is how many events the v2 API remembers.
	keptEvents = 1_000
)

// copy copies the nodes while the tree is served, so that little is left for later.
func (r *retreat) copy(ctx context.Context) error {
	if err := r.apart(ctx); err != nil {
		return err
	}
	start := time.Now()
	if err := r.load(ctx); err != nil {
		return err
	}
	var err error
	if r.result.Raised, err = r.gap(ctx); err != nil {
		return err
	}
	had, err := r.read(ctx)
	if err != nil {
		return err
	}
	r.copied = living(r.records, time.Now())
	same := surelySame
	if r.DataDir != "" {
		same = sameNode
	}
	e := edit(had, r.copied, same)
	r.result.Written = e.count()
	add, done := r.Progress("nodes written", int64(e.count()))
	defer done()
	err = r.to.apply(ctx, e, add)
	r.result.Copied = since(start)
	return err
}

// unlock lets the v2 API take writes again: etcd needs too long for each that comes with a password. What others
// write there until the end is found when the keys are compared.
func (r *retreat) unlock(ctx context.Context) error {
	if _, err := r.check(ctx, r.store); err != nil {
		return err
	}
	if r.meta.V2Keys != "" { // that will not be so any more
		meta := r.meta
		meta.V2Keys = ""
		if err := r.store.putMeta(ctx, &meta); err != nil {
			return err
		}
		r.meta = meta
	}
	var err error
	r.unlocked, err = r.to.unlock(ctx, r.meta.V2Password)
	return err
}

// lockAgain makes the v2 API refuse writes again, because the tree keeps the keys.
func (r *retreat) lockAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockTimeout)
	defer cancel()
	if err := r.lockV2(ctx, r.meta.V2Password); err != nil {
		return fmt.Errorf("the v2 API takes writes now, which nobody reads: %w", err)
	}
	return nil
}

// apart makes sure that what is written to the v2 API does not come to the tree.
func (r *retreat) apart(ctx context.Context) error {
	if err := r.to.putOwn(ctx); err != nil {
		return err
	}
	var found *pb.RangeResponse
	err := r.store.call(ctx, func(ctx context.Context) (err error) {
		found, err = r.store.client.Range(ctx, &pb.RangeRequest{Key: r.store.keys.File(ownKey), KeysOnly: true})
		return err
	})
	if err == nil && len(found.Kvs) > 0 {
		err = errors.Join(errProxy, r.to.removeOwn(ctx))
	}
	return err
}

// read reads the v2 API: from the files of a member if there are any, and otherwise what it lists, and the hidden
// nodes that the tree knows.
func (r *retreat) read(ctx context.Context) ([]v2store.Record, error) {
	if r.DataDir != "" {
		c, err := r.Take(ctx)
		if err != nil {
			return nil, err
		}
		if d := &c.Differences; d.Count > 0 {
			return nil, fmt.Errorf("the files of the member are not what it answers: %d differences, the first is that %q %s", d.Count, d.First[0].Key, d.First[0].What)
		}
		var all []v2store.Record
		for _, record := range c.records {
			if record.Key != ownKey {
				all = append(all, record)
			}
		}
		return all, nil
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

// raise raises the index of the v2 API to about that of the tree, which grows meanwhile.
func (r *retreat) raise(ctx context.Context) error {
	start := time.Now()
	add, done := r.Progress("index raised", int64(r.result.Raised))
	defer done()
	for range maxPasses {
		if err := r.to.raise(ctx, r.index, add); err != nil {
			return err
		}
		r.result.Raising = since(start)
		f, err := r.check(ctx, r.store)
		if err != nil {
			return err
		}
		if r.index = f.Index; r.index <= r.to.last.Load()+maxRest {
			return nil
		}
	}
	return errors.New("clients write to the tree about as fast as the index of the v2 API can be raised (hint: try again when they write less)")
}

// freeze makes the proxies hold their writes.
func (r *retreat) freeze(ctx context.Context) error {
	r.frozen = time.Now()
	meta := r.meta
	meta.State, meta.Before = layout.Frozen, layout.Live
	r.meta = meta // from now on it may be frozen, whatever the answer is
	return r.store.putMeta(ctx, &meta)
}

// hold waits until all of them do.
func (r *retreat) hold(ctx context.Context) error { return r.Fleet.hold(ctx, r.store) }

// update makes of the copy what the tree is now.
func (r *retreat) update(ctx context.Context) error {
	now := living(r.records, time.Now())
	e := edit(r.copied, now, unchanged)
	r.result.Changed = e.count()
	return r.to.apply(ctx, e, func(int64) {})
}

// outdate raises the index of the v2 API so far that it has forgotten all events of the copy: a client that waits for an
// index is told so, and never sees them.
func (r *retreat) outdate(ctx context.Context) error {
	to := max(r.to.last.Load(), r.index) + keptEvents + 1
	if err := r.to.raise(ctx, to, func(int64) {}); err != nil {
		return err
	}
	return r.to.removeOwn(ctx)
}

// prove reads the v2 API again, and compares it with the tree.
func (r *retreat) prove(ctx context.Context) error {
	last := r.to.last.Load()
	got, err := r.read(ctx)
	if err != nil {
		return err
	}
	index, err := r.to.index(ctx)
	if err != nil {
		return err
	}
	d, expired := compareCopy(r.records, got, time.Now())
	switch {
	case d.Count > 0:
		return fmt.Errorf("the v2 API does not have what the tree has: %d differences, the first is that %q %s (hint: somebody writes to etcd past the proxies, or the clock of this machine is wrong)", d.Count, d.First[0].Key, d.First[0].What)
	case index > last+uint64(expired):
		return fmt.Errorf("the index of the v2 API has grown by %d since it was written, and %d nodes have expired; somebody writes to etcd past the proxies (hint: make them use a proxy)", index-last, expired)
	}
	r.result.Index, r.result.Nodes = index, len(got)
	return nil
}

// serve makes the v2 API the one that proxies serve. The tree stays until the next switch replaces it.
func (r *retreat) serve(ctx context.Context) error {
	meta := r.meta
	meta.State, meta.Before, meta.V2Password = layout.Unfinished, "", ""
	err := r.store.putMetaAfter(ctx, &meta, r.log)
	if err != nil && !r.store.describedAs(ctx, &meta) {
		return fmt.Errorf("%w (hint: etcd-tlsproxy migrate status says which API has the keys now)", err)
	}
	r.meta = meta
	r.result.Held = since(r.frozen)
	return nil
}

// undo ends the freeze.
func (r *retreat) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	meta := r.meta
	meta.State, meta.Before = layout.Live, ""
	if err := r.store.putMeta(ctx, &meta); err != nil {
		return fmt.Errorf("ending the freeze: %w (hint: the proxies end it themselves within %s)", err, lockTTL)
	}
	return nil
}
