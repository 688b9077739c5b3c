package bulk

import (
	"context"
	"hash/maphash"

	"etcd-tlsproxy/proxy/account"
)

const (
	// Unit is the number of bytes that one unit of [Limits.Bytes] stands for. Smaller answers
	// are not charged. The number of requests at etcd bounds them.
	Unit = 64 << 10

	unnamed = 0 // the hash of an answer whose size is not remembered

	// unknownTree is how many reads of trees that were small lately one of an unknown tree
	// counts for. Many large trees at once would take etcd's processors from others.
	unknownTree = 8
	// longWork is the number of units from which on an answer also has places of
	// [Limits.Trees] until it begins, one for each perPlace units. Encoding it takes etcd so
	// long that many such answers at once would take its processors from others.
	longWork = 16
	perPlace = 32
)

// Limits bounds what etcd needs for large answers.
type Limits struct {
	// Bytes is the pool of the bytes of large answers that etcd is asked for or sends.
	Bytes *account.Pool
	// Trees is the pool of the reads that etcd works for, and whose answers have not begun: those
	// of trees that are not known to be large, and those of answers of a megabyte and more.
	Trees *account.Pool

	// Watched is the pool of the bytes of the events that etcd would send at once if all keys
	// that it is asked to watch changed. See [Limits.Watch].
	Watched *account.Pool

	sizes sizes
}

// NewLimits returns limits that remember nothing.
func NewLimits(bytes, trees, watched *account.Pool) *Limits {
	return &Limits{Bytes: bytes, Trees: trees, Watched: watched, sizes: sizes{seed: maphash.MakeSeed()}}
}

// Claim is what one request needs of etcd's memory. The zero Claim, and those of nil Limits,
// need nothing. A Claim must not be used concurrently.
type Claim struct {
	limits  *Limits
	bytes   *account.Pool // of the limits
	account *account.Account
	hash    uint64
	tree    bool
	write   bool
	sent    int64 // units of the value that a write sends, if it is large
	event   int64 // units of the last large events of a watch
	least   int64 // units of a watch, whatever the size of its events

	units  int64 // of the answer, as far as it is known; 0 if it is not
	held   int64 // of bytes
	places int64 // that are held of Limits.Trees
}

// Read returns the claim of a read of a key. The answers to all reads of the same tree, or of
// the same key, have about the same size.
func (l *Limits) Read(a *account.Account, path string, tree bool) Claim {
	if l == nil {
		return Claim{}
	}
	c := Claim{limits: l, bytes: l.Bytes, account: a, hash: l.sizes.hashOf(path, tree), tree: tree}
	c.Refresh()
	return c
}

// Known returns the claim of a read whose answer has at most so many bytes.
func (l *Limits) Known(a *account.Account, size int64, tree bool) Claim {
	if l == nil {
		return Claim{}
	}
	c := Claim{limits: l, bytes: l.Bytes, account: a, tree: tree}
	c.units = c.unitsOf(size)
	return c
}

// Other returns the claim of a request whose answer is usually small.
func (l *Limits) Other(a *account.Account) Claim {
	if l == nil {
		return Claim{}
	}
	return Claim{limits: l, bytes: l.Bytes, account: a}
}

// For returns a claim to the same answer for another account.
func (c *Claim) For(a *account.Account) Claim {
	return Claim{limits: c.limits, bytes: c.bytes, account: a, hash: c.hash, tree: c.tree, write: c.write, sent: c.sent, event: c.event, least: c.least, units: c.units}
}

// Account returns the account that is charged.
func (c *Claim) Account() *account.Account { return c.account }

// Wanted returns what its account holds and waits for of the pool that the claim needs. Of several
// clients that want the same, the one for which it is least comes first.
func (c *Claim) Wanted() int64 {
	switch {
	case c.IsFree():
		return 0
	case c.isLarge():
		return c.bytes.Wanted(c.account)
	}
	return c.limits.Trees.Wanted(c.account)
}

// Pool returns the pool of the bytes that are held.
func (c *Claim) Pool() *account.Pool { return c.bytes }

// Refresh looks up the expected size again. No bytes must be held.
func (c *Claim) Refresh() {
	if c.hash == unnamed {
		return
	}
	c.units = c.limits.sizes.units(c.hash)
	if c.write {
		c.units += max(c.units, c.sent) // etcd answers with the value before and the one after
	}
}

// Size returns the expected number of bytes, rounded up, or 0 if it is not known.
func (c *Claim) Size() int64 { return c.units * Unit }

// isLarge reports whether the answer is known to be large.
func (c *Claim) isLarge() bool { return c.units > 1 }

// IsFree reports whether there is nothing to acquire.
func (c *Claim) IsFree() bool { return c.limits == nil || !c.isLarge() && !c.tree }

// TryAcquire acquires what the answer is expected to need, if there is enough of all.
func (c *Claim) TryAcquire() bool {
	if c.IsFree() || c.places > 0 {
		return true
	}
	before := c.held
	if c.isLarge() && !c.cover(c.units) {
		return false
	}
	if !c.tryPlaces(c.wantedPlaces()) {
		c.releaseBytes(c.held - before)
		return false
	}
	return true
}

// Acquire acquires what the answer is expected to need, and waits for its turn. What is known
// about the size when the turn comes counts. If it fails, the claim holds what it held before.
func (c *Claim) Acquire(ctx context.Context) error {
	if c.TryAcquire() {
		return nil
	}
	if !c.isLarge() {
		if err := c.acquirePlaces(ctx, c.wantedPlaces()); err != nil {
			return err
		}
		if c.Refresh(); c.isLarge() { // an answer that has begun meanwhile has shown it
			c.releasePlaces()
			return c.Acquire(ctx)
		}
		return nil
	}
	// Nobody waits for bytes while he has places.
	before := c.held
	if n := possible(c.bytes, c.units) - before; n > 0 {
		if err := c.bytes.Acquire(ctx, c.account, n, account.Ordinary); err != nil {
			return err
		}
		c.held += n
	}
	if err := c.acquirePlaces(ctx, c.wantedPlaces()); err != nil {
		c.releaseBytes(c.held - before)
		return err
	}
	return nil
}

// possible returns the units that an answer of so many units is charged with. An answer that is
// larger than the bound is sent alone.
func possible(pool *account.Pool, units int64) int64 { return min(units, pool.Most()) }

// cover acquires the rest of so many units if there are enough.
func (c *Claim) cover(units int64) bool {
	n := possible(c.bytes, units) - c.held
	if n > 0 {
		if !c.bytes.TryAcquire(c.account, n, account.Ordinary) {
			return false
		}
		c.held += n
	}
	return true
}

// Began records that the answer has begun and has so many bytes. The place among the trees
// is released. exists says whether the status tells the size of what was asked for: an answer
// that etcd refuses is small whatever there is, and would make it forgotten.
func (c *Claim) Began(size int64, exists bool) {
	if c.limits == nil {
		return
	}
	units := c.unitsOf(size)
	switch {
	case c.hash == unnamed:
	case c.write:
		c.wrote(units)
	case exists && units != c.units:
		c.limits.sizes.note(c.hash, units)
	}
	c.units = units
	c.releasePlaces() // who waits for them looks the size up
}

// unitsOf returns the units of an answer of so many bytes.
func (c *Claim) unitsOf(size int64) int64 {
	units := (size + Unit - 1) / Unit
	switch {
	case c.tree:
		return max(units, 1) // that it is small is worth remembering
	case units == 1:
		return 0
	}
	return units
}

// Cover acquires what is missing for an answer that etcd holds until its client has taken it.
// It does not wait, and reports whether there was enough. Such answers are bounded in number as
// well, by charging each with a part of all bytes, because each has a connection to etcd.
func (c *Claim) Cover() bool {
	c.Stream()
	return c.cover(c.units)
}

// Stream makes the claim one of an answer that etcd holds until its client has taken it; see
// [Claim.Cover].
func (c *Claim) Stream() {
	if c.limits != nil {
		c.units = max(c.units, c.limits.Bytes.Most()/c.limits.Trees.Most(), 1)
	}
}

// Held returns the units of bytes that are held.
func (c *Claim) Held() int64 { return c.held }

// Release releases what is held. The claim can be acquired again.
func (c *Claim) Release() {
	c.releasePlaces()
	c.releaseBytes(c.held)
}

func (c *Claim) releaseBytes(n int64) {
	if n > 0 {
		c.bytes.Release(c.account, n, account.Ordinary)
		c.held -= n
	}
}
