package migration

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/changeover"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// copy copies all nodes while the v2 API goes on, so that little is left for later.
func (m *move) copy(ctx context.Context) error {
	if _, err := m.check(ctx, m.store); err != nil {
		return err
	}
	start := time.Now()
	c, err := m.takeOf(ctx, m.store)
	if err != nil {
		return err
	}
	if err := m.belongs(ctx, m.store); err != nil {
		return err
	}
	if err := m.password(ctx); err != nil {
		return err
	}
	if err := m.removeEarlier(ctx, m.store); err != nil {
		return err
	}
	if err := m.store.room(ctx, m.store.size(c), m.Store.QuotaBytes); err != nil {
		return err
	}
	meta, err := m.store.begin(ctx)
	if err != nil {
		return err
	}
	m.meta, m.copied = *meta, c
	add, done := m.Progress("nodes copied", int64(c.Nodes()))
	defer done()
	err = m.store.put(ctx, c.records, add)
	m.result.Copied = since(start)
	return err
}

// password chooses the password of the lock of the v2 API, unless users of etcd decide there who may write.
func (m *move) password(ctx context.Context) error {
	v2, err := m.connect(ctx)
	if err != nil {
		return err
	}
	earlier := ""
	if m.store.found != nil {
		earlier = m.store.found.V2Password
	}
	switch err := v2.lockable(ctx, earlier); {
	case errors.Is(err, errUsers):
		m.Note("the v2 API will not be locked: " + err.Error())
	case err != nil:
		return err
	default:
		m.lock = rand.Text()
	}
	return nil
}

// freeze makes the proxies hold their writes.
func (m *move) freeze(ctx context.Context) error {
	m.frozen = time.Now()
	meta := m.meta
	meta.State = layout.Frozen
	m.meta = meta // from now on it may be frozen, whatever the answer is
	return m.store.putMeta(ctx, &meta)
}

// hold waits until all of them do.
func (m *move) hold(ctx context.Context) error { return m.Fleet.hold(ctx, m.store) }

// read reads the v2 store as it is now.
func (m *move) read(ctx context.Context) error {
	c, err := m.takeOf(ctx, m.store)
	m.result.Content = c
	return err
}

// update makes the tree what was read last.
func (m *move) update(ctx context.Context) error {
	put, gone := changes(m.copied.records, m.result.records)
	m.copied = m.result.Content
	m.result.Changed += len(put) + len(gone)
	none := func(int64) {}
	if err := m.store.delete(ctx, gone, none); err != nil {
		return err
	}
	return m.store.put(ctx, put, none)
}

// prove loads the tree in the way of a proxy, and compares it with what was read.
func (m *move) prove(ctx context.Context) error {
	if _, err := m.store.putLog(ctx); err != nil { // without it a tree cannot be loaded
		return err
	}
	tree, err := v2v3.LoadCopy(ctx, m.Store)
	if err != nil {
		return fmt.Errorf("loading the tree: %w", err)
	}
	d := compare(m.copied.records, tree.Tree.Below(""))
	for key := range tree.Foreign {
		d.add(key, "is a key of another program")
	}
	if d.Count > 0 {
		return fmt.Errorf("the tree is not equal to the v2 store: %d differences, the first is that %q %s", d.Count, d.First[0].Key, d.First[0].What)
	}
	return nil
}

// compare makes sure that nobody has written through the v2 API since it was read. Etcd goes on expiring nodes
// there, which is done in the tree as well.
func (m *move) compare(ctx context.Context) error {
	if err := m.belongs(ctx, m.store); err != nil { // the address may lead elsewhere meanwhile
		return err
	}
	for range maxExpiries {
		behind, err := m.Since(ctx, m.copied)
		if err != nil || behind == 0 {
			return err
		}
		before := m.copied
		if err := m.read(ctx); err != nil {
			return err
		}
		put, gone := changes(before.records, m.result.records)
		if len(put) > 0 {
			return fmt.Errorf("%q was written while the proxies held their writes; somebody writes to etcd past them (hint: make them use a proxy)", put[0].Key)
		}
		if keys := unexpired(gone, time.Now()); len(keys) > 0 {
			return fmt.Errorf("%q was removed while the proxies held their writes; somebody writes to etcd past them (hint: make them use a proxy)", keys[0])
		}
		due := uint64(len(gone))
		if before.own && !m.result.own {
			due++
		}
		if grown := m.result.Index - before.Index; grown > due {
			return fmt.Errorf("the index of the v2 store has grown by %d, and %d nodes have expired; somebody writes to etcd past the proxies (hint: make them use a proxy)", grown, len(gone))
		}
		m.result.Expired += len(gone)
		if err := m.update(ctx); err != nil {
			return err
		}
	}
	return errors.New("nodes expire faster than the tree can be compared (hint: try again later)")
}

// serve makes the tree the one that proxies serve. Until each of them does, etcd goes on expiring nodes of the v2
// store, and clients see the indexes of that. So the tree begins above the index that the v2 store has when all nodes
// that can expire have done so, and it is locked.
func (m *move) serve(ctx context.Context) error {
	revision, err := m.store.putLog(ctx)
	if err != nil {
		return err
	}
	live := m.meta
	live.State, live.Moved, live.Offset, live.Left = layout.Live, true, int64(m.copied.Index)+int64(m.copied.Expiring)+lockEvents-revision, m.copied.Index
	live.V2Password = m.lock
	if err := m.store.conclude(ctx, &live, revision); err != nil {
		return err
	}
	m.meta, m.generation = live, live.Generation
	m.result.Held, m.result.Nodes = since(m.frozen), m.copied.Nodes()
	if m.lock == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockTimeout)
	defer cancel()
	v2, err := m.connect(ctx)
	if err == nil {
		err = v2.lock(ctx, m.lock, &holding{store: m.store})
	}
	if err != nil { // the keys are moved all the same
		m.Note("the v2 API perhaps still takes writes, which nobody reads: " + err.Error() + " (hint: etcd-tlsproxy migrate lock)")
	}
	return nil
}

// lockTimeout bounds the locking of the v2 API, for which etcd hashes a password several times. That is slow by intention.
const lockTimeout = 30 * time.Second

// lockEvents is more than the number of events by which locking the v2 API, and the end of [ownKey], raise its index.
const lockEvents = 16

// undo ends the freeze.
func (m *move) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	frozen := m.meta
	s := m.store
	done, err := changeover.Thaw(ctx, s.client, s.keys, &frozen, func(t *layout.Txn) {
		t.Modified(s.keys.Lock(), s.lock)
		t.Modified(s.keys.Meta(), s.meta)
	})
	if err == nil && !done {
		err = errLost
	}
	if err != nil {
		return fmt.Errorf("ending the freeze: %w (hint: the proxies end it themselves within %s)", err, lockTTL)
	}
	return nil
}
