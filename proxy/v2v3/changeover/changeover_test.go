package changeover

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/v2v3/layout"
)

func TestWithoutATreeTheV2APITakesWrites(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.proxy(nil)
	w := f.admitted(m)
	defer w.Done()
	if err := w.Confirm(f.context()); err != nil {
		t.Errorf("a write at the v2 API: got %v, want it confirmed", err)
	}
	if phase, reason := m.Phase(); phase != V2 || reason != "" {
		t.Errorf("without a tree: got the phase %s, %q", phase, reason)
	}
}

func TestAFrozenTreeIsAcknowledgedWhenNoWriteIsUnderWay(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m, idle := f.proxy(nil), f.proxy(nil)
	w := f.admitted(m)
	f.reach(idle, V2)
	defer f.lock()()
	revision := f.describe(layout.Frozen)
	f.reach(m, Frozen)
	f.reach(idle, Frozen)
	held := f.held(m)
	// The idle proxy says so, and this one would have had the same time.
	for ctx := f.context(); ; {
		all, have := f.acknowledged(revision)
		if all != 2 || have > 1 {
			t.Fatalf("%d of %d sessions have acknowledged, and one has a write under way", have, all)
		}
		if have == 1 {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("an idle proxy does not acknowledge")
		}
	}
	if err := w.Confirm(f.context()); err != nil {
		t.Errorf("a write that began before the tree was frozen: got %v, want it confirmed", err)
	}
	w.Done()
	f.await(revision)
	select {
	case err := <-held:
		t.Errorf("a write while the tree is frozen was not held: %v", err)
	default:
	}
	f.describe(layout.Live)
	if err := <-held; !errors.Is(err, ErrSwitched) {
		t.Errorf("a write that was held until the tree was live: got %v, want %v", err, ErrSwitched)
	}
	if n := m.switched.Load(); n != 1 {
		t.Errorf("the tree is live: it was told %d times, want once", n)
	}
}

func TestATreeWhoseCommandIsGoneIsThawed(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m, other := f.proxy(nil), f.proxy(nil)
	f.reach(m, V2)
	f.reach(other, V2)
	release := f.lock()
	revision := f.describe(layout.Frozen)
	f.await(revision)
	first, second := f.held(m), f.held(other)
	early := freeze{p: m.Proxy, revision: revision, meta: &layout.Meta{}}
	if early.thaw(f.context()) {
		t.Fatal("a tree was thawed while the command that froze it holds the lock")
	}
	release()
	for _, held := range []<-chan error{first, second} {
		if err := <-held; err != nil {
			t.Errorf("a write that was held until the command was gone: got %v, want it admitted", err)
		}
	}
	if found, err := Look(f.context(), f.client, f.keys); err != nil || found.State != layout.Unfinished {
		t.Errorf("a tree that was thawed: got %+v, %v; want the state %q", found, err, layout.Unfinished)
	}
	// What was acknowledged then does not count for the next time.
	defer f.lock()()
	w := f.admitted(m)
	next := f.describe(layout.Frozen)
	f.reach(m, Frozen)
	if _, have := f.acknowledged(next); have > 1 {
		t.Errorf("a tree that is frozen again: %d sessions have acknowledged, and one has a write under way", have)
	}
	w.Done()
	f.await(next)
}

func TestAWriteWhoseSessionHasEndedIsUnknown(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.proxy(nil)
	w := f.admitted(m)
	defer w.Done()
	f.endSession(w.name)
	if err := w.Confirm(f.context()); !errors.Is(err, ErrUnknown) {
		t.Errorf("a write whose session has ended: got %v, want %v", err, ErrUnknown)
	}
	next := f.admitted(m)
	defer next.Done()
	if next.name == w.name {
		t.Error("a write was admitted in the session that has ended")
	}
	if err := w.Confirm(f.context()); !errors.Is(err, ErrUnknown) {
		t.Errorf("a write of the session before: got %v, want %v", err, ErrUnknown)
	}
	if err := next.Confirm(f.context()); err != nil {
		t.Errorf("a write of the new session: got %v, want it confirmed", err)
	}
}

// TestAWriteOfAProxyThatWasAsleepIsNotAcknowledged has a proxy whose session ends while etcd executes a
// write. The command does not wait for it.
func TestAWriteOfAProxyThatWasAsleepIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	asleep, awake := f.proxy(nil), f.proxy(nil)
	f.reach(awake, V2)
	w := f.admitted(asleep)
	defer w.Done()
	f.endSession(w.name)
	f.lock()
	f.await(f.describe(layout.Frozen))
	// Here the command copies the keys, and then etcd executes the write.
	if err := w.Confirm(f.context()); !errors.Is(err, ErrUnknown) {
		t.Errorf("a write that was executed after the keys were copied: got %v, want %v", err, ErrUnknown)
	}
}

func TestAWriteIsNotHeldForEver(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	defer f.lock()()
	f.describe(layout.Frozen)
	m := f.proxy(func(o *Options) { o.maxHold = time.Millisecond })
	f.reach(m, Frozen)
	if _, err := m.admit(f.context()); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "moved to another API") {
		t.Errorf("a write that was held for too long: got %v, want %v with the reason", err, ErrHeld)
	}
}

// TestAWriteIsNotHeldAfterItsTime has a write that has waited elsewhere.
func TestAWriteIsNotHeldAfterItsTime(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	defer f.lock()()
	f.describe(layout.Frozen)
	m := f.proxy(func(o *Options) { o.maxHold = time.Hour })
	f.reach(m, Frozen)
	if _, err := m.Admit(f.context(), time.Now()); !errors.Is(err, ErrHeld) {
		t.Errorf("a write whose time is over: got %v, want %v", err, ErrHeld)
	}
}

// TestAHeldWriteWhoseClientHasLeftIsNotAdmitted lets writes go on, and only then looks whether the client is there.
func TestAHeldWriteWhoseClientHasLeftIsNotAdmitted(t *testing.T) {
	t.Parallel()
	for _, state := range []string{layout.Live, layout.Unfinished} {
		f := newFleet(t)
		release := f.lock()
		f.describe(layout.Frozen)
		m := f.proxy(nil)
		f.reach(m, Frozen)
		client := &leaving{Context: f.context(), waits: make(chan struct{})}
		done := make(chan error, 1)
		go func() {
			_, err := m.admit(client)
			done <- err
		}()
		<-client.waits
		client.left.Store(true)
		f.describe(state)
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want that the client has left", state, err)
		}
		release()
	}
}

// leaving is a client whose end nobody is told, as that of a connection which nothing reads.
type leaving struct {
	context.Context
	once  sync.Once
	waits chan struct{} // closed when somebody waits
	left  atomic.Bool
}

func (l *leaving) Done() <-chan struct{} {
	l.once.Do(func() { close(l.waits) })
	return nil
}

func (l *leaving) Err() error {
	if l.left.Load() {
		return context.Canceled
	}
	return nil
}

func TestAHeldWriteEndsWithItsClient(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	defer f.lock()()
	f.describe(layout.Frozen)
	m := f.proxy(nil)
	f.reach(m, Frozen)
	left := errors.New("the client has left")
	ctx, cancel := context.WithCancelCause(f.context())
	cancel(left)
	if _, err := m.admit(ctx); !errors.Is(err, left) {
		t.Errorf("a held write whose client has left: got %v, want %v", err, left)
	}
}

func TestADescriptionThatCannotBeReliedOnHoldsWrites(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{": "decoding the description",
		`{"schema":1,"min_read":1,"min_write":1,"state":"live"}`:                             "was not moved",
		`{"schema":1,"min_read":1,"min_write":1,"state":"strange","moved":true}`:             `the state "strange"`,
		`{"schema":9,"min_read":9,"min_write":9,"state":"live","moved":true}`:                "version 9",
		`{"schema":9,"min_read":9,"min_write":9,"state":"unfinished"}`:                       "this one knows 1 (hint: upgrade",
		`{"schema":9,"min_read":9,"min_write":9,"state":"frozen"}`:                           "version 9",
		`{"schema":1,"min_read":1,"min_write":1,"state":"frozen","before":"x"}`:              "was not moved",
		`{"schema":1,"min_read":1,"min_write":1,"state":"frozen","before":"x","moved":true}`: `the state "frozen"`,
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			f.put(f.keys.Meta(), []byte(text), 0)
			m := f.proxy(func(o *Options) { o.maxHold = time.Second })
			if w, err := m.admit(f.context()); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), want) {
				t.Errorf("a write below the description %s: got %v, %v, want it held because of %q", text, w, err, want)
			}
		})
	}
}

// TestADescriptionThatCannotBeReadEndsReads has a command of a newer program move the keys to the tree.
func TestADescriptionThatCannotBeReadEndsReads(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	stale := make(chan struct{}, 1)
	m := f.proxy(func(o *Options) { o.Stale = func() { stale <- struct{}{} } })
	f.reach(m, V2)
	f.put(f.keys.Meta(), []byte(`{"schema":9,"min_read":9,"min_write":9,"state":"live","moved":true}`), 0)
	if tree, err := m.CatchUp(f.context()); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("a read with a quorum: got the tree %t, %v; want an error, because the description cannot be read", tree, err)
	}
	if m.Known() {
		t.Error("reads of the v2 API go on below a description that cannot be read")
	}
	select {
	case <-stale:
	case <-f.context().Done():
		t.Error("watches of the v2 API were not broken off")
	}
	f.describe(layout.Unfinished)
	if tree, err := m.CatchUp(f.context()); err != nil || tree || !m.Known() {
		t.Errorf("below a description that can be read: got the tree %t, %v and known %t; want the v2 API", tree, err, m.Known())
	}
	if len(stale) > 0 {
		t.Error("watches of the v2 API were broken off twice")
	}
}

func TestTheStoreTellsWhereTheFleetStands(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.proxy(func(o *Options) { o.Version = "1.2.3" })
	f.admitted(m).Done() // it has a session
	look := func() *Fleet {
		t.Helper()
		found, err := Look(f.context(), f.client, f.keys)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	before := look()
	if before.State != "" || before.Locked || len(before.Members) != 1 || before.Members[0].Host != "conf1001" || before.Members[0].Version != "1.2.3" ||
		!before.Members[0].Auto || before.Members[0].Holds {
		t.Errorf("before the keys are moved: got %+v", before)
	}
	if err := before.Abort(f.context(), f.client, f.keys); !errors.Is(err, ErrNotFrozen) {
		t.Errorf("ending a freeze that there is not: got %v, want %v", err, ErrNotFrozen)
	}
	f.lock()
	f.await(f.describe(layout.Frozen))
	held := f.held(m)
	frozen := look()
	if frozen.State != layout.Frozen || !frozen.Locked || len(frozen.Members) != 1 || !frozen.Members[0].Holds {
		t.Errorf("while the tree is frozen: got %+v", frozen)
	}
	if err := frozen.Abort(f.context(), f.client, f.keys); err != nil {
		t.Errorf("ending the freeze of a command that holds its lock: %v", err)
	}
	if err := <-held; err != nil {
		t.Errorf("a write that was held until the freeze was ended: got %v, want it admitted", err)
	}
	if err := frozen.Abort(f.context(), f.client, f.keys); err == nil {
		t.Error("a freeze was ended twice")
	}
	if after := look(); after.State != layout.Unfinished || after.Locked {
		t.Errorf("after the freeze was ended: got %+v", after)
	}
}

// TestAReadCatchesUpWithAMove has a proxy learn late of a move.
func TestAReadCatchesUpWithAMove(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	m := f.proxy(func(o *Options) {
		o.Switched = func() {
			close(entered)
			<-leave
		}
	})
	f.reach(m, V2)
	if tree, err := m.CatchUp(f.context()); err != nil || tree {
		t.Errorf("before the move: got %v and tree %t, want none and the v2 API", err, tree)
	}
	f.describe(layout.Live)
	<-entered
	short, cancel := context.WithTimeout(f.context(), 100*time.Millisecond)
	defer cancel()
	if _, err := m.CatchUp(short); err == nil {
		t.Error("while the proxy goes over: got no error, want that it waits")
	}
	close(leave)
	if tree, err := m.CatchUp(f.context()); err != nil || !tree {
		t.Errorf("after the move: got %v and tree %t, want none and the tree", err, tree)
	}
}

// TestATreeWhoseDescriptionIsGoneIsNotTakenForNone removes the description of a live tree, as by mistake, and as
// a proxy finds it that starts afterwards.
func TestATreeWhoseDescriptionIsGoneIsNotTakenForNone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.proxy(func(o *Options) { o.maxHold = time.Second })
	f.put(f.keys.Log(), []byte("{}"), 0)
	f.describe(layout.Live)
	f.reach(m, V3)
	f.remove(f.keys.Meta())
	f.reach(m, Unknown)
	later := f.proxy(func(o *Options) { o.maxHold = time.Second })
	for _, p := range []*member{m, later} {
		if _, err := p.admit(f.context()); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "the description of the tree is gone") {
			t.Errorf("a write below a tree without a description: got %v, want it held because of that", err)
		}
	}
	if !m.Tree() {
		t.Error("a proxy that has served the tree reads from the v2 API again")
	}
}

// TestAHungWriteDoesNotKeepTheTreeFrozen has a command that is gone while a write is under way.
func TestAHungWriteDoesNotKeepTheTreeFrozen(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.proxy(nil)
	w := f.admitted(m)
	defer w.Done()
	release := f.lock()
	f.describe(layout.Frozen)
	f.reach(m, Frozen)
	release()
	f.reach(m, V2)
}
