package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// Back moves the keys of a fleet from the v3 store to the v2 API of the same cluster. Its prefix is that of the tree
// that proxies serve. It needs no data folder, but finds all hidden keys of the v2 API only there.
type Back struct {
	Rehearsal
	Fleet
	// Dead are the names or the ids of members that are not there, so that no client reads from them.
	Dead []string

	// now is the clock, and settling how long a write of which nothing is known is waited for; in tests.
	now      func() time.Time
	settling time.Duration
}

// BackSteps are those of a move back, in their order. Writes are held from the step "freeze" on.
var BackSteps = []string{"unlock", "copy", "raise", "freeze", "hold", "read", "update", "outdate", "prove", "serve"}

const (
	// maxGap is how far the index of the v2 API may be below that of the tree: it grows by one with each write.
	maxGap = 5_000_000
	// ownKey is written to raise the index. Etcd does not list it, and removes it by itself after a kill.
	ownKey = "/_etcd-tlsproxy-migrate"
	// maxClock is how far the clock of this machine may be from that of a member: expiries are compared with it.
	maxClock = time.Second
)

// Outlook is what a move back would have to do.
type Outlook struct {
	// Nodes is the number of nodes of the tree.
	Nodes int
	// Gap is how far the index of the v2 API is below that of the tree.
	Gap uint64
}

// Returned says how a move back went.
type Returned struct {
	Nodes int `json:"nodes"`
	// Index is that of the v2 API afterwards, and Raised how far it was below that of the tree before.
	Index  uint64 `json:"index"`
	Raised uint64 `json:"raised"`
	// Copied and Raising are how long the nodes were copied, and the index was raised, while clients were served.
	// Held is how long their writes were held at most.
	Copied  Seconds `json:"copy_seconds"`
	Raising Seconds `json:"raise_seconds"`
	Held    Seconds `json:"held_seconds"`
	// Written is the number of nodes that the v2 API did not have, and Changed that of those that were changed or
	// removed while the others were copied.
	Written int `json:"written"`
	Changed int `json:"changed"`
}

// Check returns what a move back would have to do, and an error unless it can be done.
func (b *Back) Check(ctx context.Context) (*Outlook, error) {
	r, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.store.client.Close()
	if _, err := b.check(ctx, r.store); err != nil {
		return nil, err
	}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	gap, err := r.gap(ctx)
	return &Outlook{Nodes: len(r.records), Gap: gap}, err
}

// Run moves the keys. If it fails, the tree has them as before.
func (b *Back) Run(ctx context.Context) (*Returned, error) {
	r, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.store.client.Close()
	held, release, err := r.store.acquire(ctx)
	if err != nil {
		return nil, err
	}
	err = b.Fleet.run(held, BackSteps, map[string]func(context.Context) error{
		"unlock": r.unlock, "copy": r.copy, "raise": r.raise, "freeze": r.freeze, "hold": r.hold, "read": r.load, "update": r.update, "outdate": r.outdate, "prove": r.prove, "serve": r.serve,
	})
	switch {
	case err == nil || b.killed:
	case r.meta.State == layout.Frozen:
		err = errors.Join(err, r.undo(ctx))
	case r.meta.V2Edits && !r.to.unsettled.Load():
		_ = r.undo(ctx) // otherwise the next command waits
	}
	release(b.killed)
	if err != nil && r.unlocked && !b.killed {
		err = errors.Join(err, r.lockAgain(ctx, r.meta.V2Password))
	}
	if err != nil {
		return nil, err
	}
	return &r.result, nil
}

// retreat is a move back under way.
type retreat struct {
	*Back
	store *store
	to    *v2writer
	// members are those at the endpoints, and all others that are not dead. The first of them is written to.
	members []*member
	// unlocked is set if the v2 API refused writes before.
	unlocked bool
	meta     layout.Meta // as it was put last
	// records are the nodes of the tree as it was loaded last, at the revision and the index of the log.
	records []v2store.Record
	log     int64
	index   uint64
	// copied are those that the v2 API has.
	copied []v2store.Record
	frozen time.Time
	// right is when the clock was compared last.
	right  time.Time
	result Returned
}

// open connects to the store and to the v2 API.
func (b *Back) open(ctx context.Context) (*retreat, error) {
	s, err := open(ctx, &b.Store, layout.Live)
	if err != nil {
		return nil, err
	}
	r := &retreat{Back: b, store: s}
	if err := r.connect(ctx); err != nil {
		s.client.Close()
		return nil, err
	}
	return r, nil
}

func (r *retreat) connect(ctx context.Context) error {
	s := r.store
	if s.meta == 0 || !s.found.Moved {
		return errors.New("the store has no tree that was moved from the v2 API, so that there is no way back (hint: etcd-tlsproxy migrate status says what it has)")
	}
	r.meta = *s.found
	if err := r.connectAll(ctx); err != nil {
		return err
	}
	if err := r.connectRest(ctx); err != nil {
		return err
	}
	r.to = &v2writer{member: r.members[0], held: (&holding{store: s}).still, now: time.Now}
	if r.now != nil {
		r.to.now = r.now
	}
	r.to.unsettled.Store(r.meta.V2Edits || r.meta.V2Keys != "")
	return nil
}

// isDead reports whether a member is named as dead.
func (b *Back) isDead(p *pb.Member) bool {
	return slices.Contains(b.Dead, memberhost.ID(p.ID).String()) || p.Name != "" && slices.Contains(b.Dead, p.Name)
}

// apart makes sure that what is written to the v2 API through a member does not come to the tree, and that the clock
// of this machine is that of the member.
func (r *retreat) apart(ctx context.Context, m *member) error {
	return r.rightClock(m, func() (*node, error) {
		return r.store.apart(ctx, &v2writer{member: m, password: r.meta.V2Password})
	})
}

// rightClock makes sure that the clock of this machine is that of a member, which writes the key of the command.
func (r *retreat) rightClock(m *member, write func() (*node, error)) error {
	sent := r.to.now()
	n, err := write()
	answered := r.to.now()
	switch {
	case err != nil:
		return err
	case n.Expiration == nil:
		return errors.New("etcd's answer to a write has no expiration")
	}
	r.right = answered
	switch clock := n.Expiration.Add(-ownTTL); {
	case sent.Sub(clock) > maxClock:
		return fmt.Errorf("the clock of this machine is ahead of that of the member %s by %s, want at most %s: keys would expire early (hint: set the clocks)", m.name, sent.Sub(clock).Round(time.Millisecond), maxClock)
	case clock.Sub(answered) > maxClock:
		return fmt.Errorf("the clock of this machine is behind that of the member %s by %s, want at most %s: keys would expire late (hint: set the clocks)", m.name, clock.Sub(answered).Round(time.Millisecond), maxClock)
	}
	return nil
}

// load loads the tree in the way of a proxy.
func (r *retreat) load(ctx context.Context) error {
	tree, err := v2v3.LoadCopy(ctx, r.Store)
	if err != nil {
		return fmt.Errorf("loading the tree: %w", err)
	}
	r.records, r.log, r.index = nil, tree.LogRevision, tree.Tree.Index()
	for record := range tree.Tree.Below("") {
		if record.Key == ownKey && !record.Dir { // an earlier release has moved it, and it expires
			continue
		}
		if acl.Key(record.Key).Reserved() || record.Key == ownKey || strings.HasPrefix(record.Key, ownKey+"/") {
			return fmt.Errorf("the tree has the key %q, which must not be written to the v2 API (hint: remove it)", record.Key)
		}
		if r.DataDir == "" && !utf8.ValidString(record.Key) {
			return fmt.Errorf("the tree has the key %q, which etcd's answers do not show as it is (hint: run the command on the machine of a member, with --data-dir)", record.Key)
		}
		r.records = append(r.records, record)
	}
	return nil
}

// gap returns how far the index of the v2 API is below that of the tree.
func (r *retreat) gap(ctx context.Context) (uint64, error) {
	index, err := r.to.index(ctx)
	if err != nil || index >= r.index {
		return 0, err
	}
	if gap := r.index - index; gap > maxGap {
		return gap, fmt.Errorf("the index of the v2 API is %d, and that of the tree %d: it would have to be raised by %d, want at most %d (hint: dump and load move the keys to an etcd without their indexes)", index, r.index, gap, maxGap)
	}
	return r.index - index, nil
}
