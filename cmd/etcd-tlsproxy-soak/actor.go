package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// world is what all clients share.
type world struct {
	*stage
	tally   *tally
	outages *outages
	etcd    member
	seed    uint64
	// work ends when clients should finish, heard when the watchers should.
	work, heard context.Context
	// index is the newest that etcd has acknowledged to anyone: nobody may be shown an
	// older one afterwards.
	index         atomic.Uint64
	tagged        *tagged
	counters      *counters
	ledgers       []*ledger
	posts         *posts
	guest, narrow *gate

	mu     sync.Mutex
	random int // how many sources of choices there are
}

// actor is one client.
type actor struct {
	*world
	kind   string
	id     int
	random *rand.Rand
	via    transport
}

// source draws from the seed; each one has its own row of choices.
func (w *world) source() *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.random++
	return rand.New(rand.NewPCG(w.seed, uint64(w.random)))
}

func (w *world) actor(kind string, id int, via func(*actor) transport) *actor {
	a := &actor{world: w, kind: kind, id: id, random: w.source()}
	a.via = via(a)
	return a
}

// The ways to speak.
func plain(a *actor) transport { return a.wire("1.1") }
func old(a *actor) transport   { return a.wire("1.0") }
func h2(a *actor) transport    { return newLibrary(a.listen, "", a.clientTLS(""), true) }

func trickling(a *actor) transport {
	w := a.wire("1.1")
	w.pieces = a.random
	return w
}

// stranger comes from another address, so that its failed logins are nobody else's.
func stranger(a *actor) transport {
	return newLibrary(a.listen, "127.0.0.2", a.clientTLS(""), a.id%2 == 0)
}

// visiting is guest's address: it is refused now and then.
func visiting(a *actor) transport {
	return newLibrary(a.listen, "127.0.0.3", a.clientTLS(""), true)
}

// certified is known by a certificate, and sends no password.
func certified(a *actor) transport {
	return &nameless{newLibrary(a.listen, "", a.clientTLS("worker"), a.id%2 == 0)}
}

type nameless struct{ transport }

func (n *nameless) ask(ctx context.Context, r *request) (*answer, error) {
	bare := *r
	bare.user = ""
	return n.transport.ask(ctx, &bare)
}

func (a *actor) wire(version string) *wire {
	return &wire{addr: a.listen, config: a.clientTLS(""), version: version}
}

func (a *actor) clientTLS(name string) *tls.Config {
	config, err := a.tls(name)
	if err != nil {
		panic("BUG: a client's keys cannot be made: " + err.Error())
	}
	return config
}

func (a *actor) working() bool { return a.work.Err() == nil }

// pace waits for some milliseconds, or until the work is over.
func (a *actor) pace(most int) {
	sleep(a.work, time.Duration(a.random.IntN(1000*most+1))*time.Microsecond)
}

// rest is taken after a failure: an etcd that is down answers very fast.
func (a *actor) rest() { sleep(a.work, 30*time.Millisecond) }

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (a *actor) name() string { return fmt.Sprintf("%s %d", a.kind, a.id) }

// wrong takes note of an answer that may not be.
func (a *actor) wrong(format string, args ...any) {
	a.tally.count(a.kind, "wrong")
	a.tally.mismatch(a.name(), format, args...)
}

// acknowledged takes note of an index that etcd has told.
func (w *world) acknowledged(index uint64) {
	for {
		now := w.index.Load()
		if index <= now || w.index.CompareAndSwap(now, index) {
			return
		}
	}
}

// wrote checks the answer to a write: it must be about this write and no other.
func (a *actor) wrote(r *request, got *answer, action, key, value string) bool {
	n := got.Node
	if n == nil || got.Action != action || n.Key != key || n.Value != value || n.ModifiedIndex == 0 {
		a.wrong("%v is answered with what belongs to another request: %.300s", r, got.body)
		return false
	}
	a.acknowledged(n.ModifiedIndex)
	return true
}

// fresh checks that an answer does not show etcd as it was before it was asked.
func (a *actor) fresh(r *request, got *answer, floor uint64) bool {
	if got.index < floor {
		a.wrong("%v shows index %d, and %d was acknowledged before it was sent", r, got.index, floor)
		return false
	}
	return true
}
