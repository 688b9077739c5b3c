package migration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

const (
	// maxPasses bounds how often the index is raised to where that of the tree has got meanwhile.
	maxPasses = 10
	// maxRest is how far it may be below, and how many nodes may have changed while others were copied, when writes are held.
	maxRest = 1_000
	// keptEvents is how many events the v2 API remembers.
	keptEvents = 1_000
)

// copy copies the nodes while the tree is served, so that little is left for later.
func (r *retreat) copy(ctx context.Context) error {
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
	r.copied = living(r.records, r.to.now())
	r.to.learn(had)
	e := edit(had, r.copied, r.same)
	r.result.Written = e.count()
	add, done := r.Progress("nodes written", int64(e.count()))
	defer done()
	err = r.apply(ctx, e, add)
	r.result.Copied = since(start)
	return err
}

// unlock lets the v2 API take writes again: etcd needs too long for each that comes with a password. What others
// write there until the end is found when the keys are compared.
func (r *retreat) unlock(ctx context.Context) error {
	if _, err := r.check(ctx, r.store); err != nil {
		return err
	}
	for _, m := range r.members {
		if err := r.apart(ctx, m); err != nil {
			return err
		}
	}
	if r.meta.V2Keys == layout.Dropped { // some of them will be there
		if err := r.describe(ctx, func(m *layout.Meta) { m.V2Keys = layout.Dropping }); err != nil {
			return err
		}
	}
	r.unlocked = r.meta.V2Password != "" // from now on it may be, whatever the answer is
	_, err := r.to.unlock(ctx, r.meta.V2Password, r.to.held)
	return err
}

// raise raises the index of the v2 API to about that of the tree, which grows meanwhile, and copies what changes meanwhile.
func (r *retreat) raise(ctx context.Context) error {
	start := time.Now()
	add, done := r.Progress("index raised", int64(r.result.Raised))
	defer done()
	for range maxPasses {
		if err := r.to.raise(ctx, r.index, add); err != nil {
			return err
		}
		if err := r.load(ctx); err != nil {
			return err
		}
		before := r.result.Changed
		if err := r.update(ctx); err != nil {
			return err
		}
		r.result.Raising = since(start)
		f, err := r.check(ctx, r.store)
		if err != nil {
			return err
		}
		if r.index = f.Index; r.index <= r.to.last.Load()+maxRest && r.result.Changed-before <= maxRest {
			return r.quiet(ctx)
		}
	}
	return errors.New("clients write to the tree about as fast as that can be copied to the v2 API, or its index be raised (hint: try again when they write less)")
}

// quiet waits until nothing that was written is under way any more.
func (r *retreat) quiet(ctx context.Context) error {
	for _, m := range r.members {
		if _, err := m.index(ctx); err != nil {
			return err
		}
	}
	if err := r.to.settle(ctx, cmp.Or(r.settling, settling)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, maxLag)
	defer cancel()
	return r.caughtUp(ctx)
}

// freeze makes the proxies hold their writes.
func (r *retreat) freeze(ctx context.Context) error {
	r.frozen = time.Now()
	meta := r.meta
	meta.State, meta.Before, meta.V2Edits = layout.Frozen, layout.Live, true
	r.meta = meta // from now on it may be frozen, whatever the answer is
	return r.store.putMeta(ctx, &meta)
}

// hold waits until all of them do.
func (r *retreat) hold(ctx context.Context) error { return r.Fleet.hold(ctx, r.store) }

// update makes of the copy what the tree is now.
func (r *retreat) update(ctx context.Context) error {
	now := living(r.records, r.to.now())
	e := edit(r.copied, now, unchanged)
	r.result.Changed += e.count()
	r.copied = now
	return r.apply(ctx, e, func(int64) {})
}

// outdate raises the index of the v2 API so far that it has forgotten all events of the copy: a client that waits for an
// index is told so, and never sees them. Before they use the copy, the clock is compared again: if it was
// set since, nodes may have been left out as expired that are not.
func (r *retreat) outdate(ctx context.Context) error {
	to := max(r.to.last.Load(), r.index) + keptEvents + 1
	if err := r.to.raise(ctx, to, func(int64) {}); err != nil {
		return err
	}
	if err := r.rightClock(r.to.member, func() (*node, error) { return r.to.putOwn(ctx) }); err != nil {
		return err
	}
	return r.to.removeOwn(ctx)
}

// errUnsettled means that etcd has not answered a write.
var errUnsettled = errors.New("etcd has not answered a write, and might execute it when clients write to the v2 API (hint: run the command again when all members answer)")

// prove reads the v2 API again, and compares it with the tree.
func (r *retreat) prove(ctx context.Context) error {
	if r.to.unsettled.Load() {
		return errUnsettled
	}
	if err := r.caughtUp(ctx); err != nil {
		return err
	}
	last := r.to.last.Load()
	got, err := r.read(ctx)
	if err != nil {
		return err
	}
	index, err := r.to.index(ctx)
	if err != nil {
		return err
	}
	now := r.right.Add(time.Since(r.right)) // also if the clock was set since
	d, expired := compareCopy(r.records, got, now)
	switch {
	case d.Count > 0:
		return fmt.Errorf("the v2 API does not have what the tree has: %d differences, the first is that %q %s (hint: somebody writes to etcd past the proxies, or the clock of this machine is wrong)", d.Count, d.First[0].Key, d.First[0].What)
	case index > last+uint64(expired):
		return fmt.Errorf("the index of the v2 API has grown by %d since it was written, and %d nodes have expired; somebody writes to etcd past the proxies (hint: make them use a proxy)", index-last, expired)
	}
	r.result.Index, r.result.Nodes = index, len(got)
	return nil
}

// serve makes the v2 API the one that proxies serve. The tree stays until the next switch replaces it, and with it the
// password, in case that a command which was stopped locks the v2 API all the same.
func (r *retreat) serve(ctx context.Context) error {
	meta := r.meta
	meta.State, meta.Before, meta.V2Keys, meta.V2Edits = layout.Unfinished, "", "", false
	if err := r.store.conclude(ctx, &meta, r.log); err != nil {
		return err
	}
	r.meta = meta
	r.result.Held = since(r.frozen)
	return nil
}

// describe changes the description of the tree.
func (r *retreat) describe(ctx context.Context, change func(*layout.Meta)) error {
	meta := r.meta
	change(&meta)
	err := r.store.putMeta(ctx, &meta)
	if err == nil {
		r.meta = meta
	}
	return err
}

// undo ends the freeze, and says that nothing is under way if etcd has answered everything.
func (r *retreat) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	meta := r.meta
	meta.State, meta.Before, meta.V2Edits = layout.Live, "", r.to.unsettled.Load()
	if err := r.store.putMeta(ctx, &meta); err != nil {
		return fmt.Errorf("ending the freeze: %w (hint: the proxies end it themselves within %s)", err, lockTTL)
	}
	return nil
}
