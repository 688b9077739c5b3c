package changeover

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/rpc"
)

func TestWithoutATreeTheV2APITakesWrites(t *testing.T) {
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
	f := newFleet(t)
	defer f.lock()()
	f.describe(layout.Frozen)
	m := f.proxy(func(o *Options) { o.maxHold = time.Millisecond })
	f.reach(m, Frozen)
	if _, err := m.Admit(f.context()); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "moved to another API") {
		t.Errorf("a write that was held for too long: got %v, want %v with the reason", err, ErrHeld)
	}
}

func TestAHeldWriteEndsWithItsClient(t *testing.T) {
	f := newFleet(t)
	defer f.lock()()
	f.describe(layout.Frozen)
	m := f.proxy(nil)
	f.reach(m, Frozen)
	left := errors.New("the client has left")
	ctx, cancel := context.WithCancelCause(f.context())
	cancel(left)
	if _, err := m.Admit(ctx); !errors.Is(err, left) {
		t.Errorf("a held write whose client has left: got %v, want %v", err, left)
	}
}

func TestADescriptionThatCannotBeReliedOnHoldsWrites(t *testing.T) {
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
			f := newFleet(t)
			f.put(f.keys.Meta(), []byte(text), 0)
			m := f.proxy(func(o *Options) { o.maxHold = time.Second })
			if w, err := m.Admit(f.context()); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), want) {
				t.Errorf("a write below the description %s: got %v, %v, want it held because of %q", text, w, err, want)
			}
		})
	}
}

func TestTheStoreTellsWhereTheFleetStands(t *testing.T) {
	f := newFleet(t)
	m := f.proxy(func(o *Options) { o.Version = "1.2.3" })
	f.reach(m, V2)
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

// TestADeadEndpointDelaysNothingForLong has a first endpoint at which nothing listens.
func TestADeadEndpointDelaysNothingForLong(t *testing.T) {
	f := newFleet(t)
	m := f.proxy(func(o *Options) {
		o.Endpoints = append([]rpc.Endpoint{{Addr: "127.0.0.1:1"}}, o.Endpoints...)
		o.maxHold = 20 * time.Second
	})
	w := f.admitted(m)
	defer w.Done()
	if err := w.Confirm(f.context()); err != nil {
		t.Errorf("a write at the second endpoint: got %v, want it confirmed", err)
	}
}

// TestAnEndpointThatHangsIsLeft has an endpoint that accepts connections and says nothing.
func TestAnEndpointThatHangsIsLeft(t *testing.T) {
	f := newFleet(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	m := f.proxy(func(o *Options) {
		o.Endpoints = append([]rpc.Endpoint{{Addr: silent.Addr().String()}}, o.Endpoints...)
		o.maxHold = 20 * time.Second
	})
	f.admitted(m).Done()
}

// TestATreeWhoseDescriptionIsGoneIsNotTakenForNone removes the description of a live tree, as by mistake, and as
// a proxy finds it that starts afterwards.
func TestATreeWhoseDescriptionIsGoneIsNotTakenForNone(t *testing.T) {
	f := newFleet(t)
	m := f.proxy(func(o *Options) { o.maxHold = time.Second })
	f.put(f.keys.Log(), []byte("{}"), 0)
	f.describe(layout.Live)
	f.reach(m, V3)
	f.remove(f.keys.Meta())
	f.reach(m, Unknown)
	later := f.proxy(func(o *Options) { o.maxHold = time.Second })
	for _, p := range []*member{m, later} {
		if _, err := p.Admit(f.context()); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "the description of the tree is gone") {
			t.Errorf("a write below a tree without a description: got %v, want it held because of that", err)
		}
	}
	if !m.Tree() {
		t.Error("a proxy that has served the tree reads from the v2 API again")
	}
}

// TestAHungWriteDoesNotKeepTheTreeFrozen has a command that is gone while a write is under way.
func TestAHungWriteDoesNotKeepTheTreeFrozen(t *testing.T) {
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

// TestAFullStoreThawsBySomethingThatItTakes raises the alarm of a store that is full, which takes only removals.
func TestAFullStoreThawsBySomethingThatItTakes(t *testing.T) {
	f := newFleet(t)
	m := f.proxy(nil)
	f.admitted(m).Done()
	release := f.lock()
	f.await(f.describe(layout.Frozen))
	held := f.held(m)
	status, err := f.client.Maintenance().Status(f.context(), &pb.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.client.Maintenance().Alarm(f.context(), &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: status.Header.MemberId, Alarm: pb.AlarmType_NOSPACE}); err != nil {
		t.Fatal(err)
	}
	release()
	if err := <-held; err != nil {
		t.Errorf("a write that was held by a command that is gone, in a full store: got %v, want it admitted", err)
	}
}

// TestWhatIsNotHeardForLongIsNotKnown lets the description not be followed for longer than reads may rely on it.
func TestWhatIsNotHeardForLongIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stale atomic.Int32
		p := &Proxy{o: Options{Stale: func() { stale.Add(1) }}, changed: make(chan struct{})}
		p.known.Store(true)
		p.lose(errSilent)
		advance(maxStale - 1)
		p.lose(errSilent) // at the next endpoint
		if !p.Known() || stale.Load() != 0 {
			t.Error("before the time is over: it is not known any more who takes writes")
		}
		advance(1)
		if p.Known() || stale.Load() != 1 {
			t.Errorf("after %s: known %t, and watches were broken off %d times; want neither, and once", maxStale, p.Known(), stale.Load())
		}
		p.forget()
		if !p.Known() {
			t.Error("followed again: it is still not known who takes writes")
		}
		p.o.ServeStale = true
		p.lose(errSilent)
		advance(time.Hour)
		if !p.Known() {
			t.Error("with stale reads: it is not known any more who takes writes")
		}
	})
}

// advance moves the clock of the synctest bubble.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the clock is the bubble's: nothing waits
	synctest.Wait()
}
