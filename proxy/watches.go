package proxy

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"etcd-tlsproxy/acl"
)

// watches knows the running watches, because they outlive what allowed them: a
// reload can take the reader's right away, and a shutdown cannot wait for them.
type watches struct {
	limit, each int // of all, and of one user
	metrics     *Metrics

	mu      sync.Mutex
	running map[*watch]struct{}
	users   map[string]int
	drained bool
}

// watch is one running watch.
type watch struct {
	op   *Operation // never changed again
	peer *Peer
	// end is called to end it from here, with one of the reasons below. It must not
	// wait.
	end context.CancelCauseFunc
}

// user is whose watch it is: the user's name or, where it did not matter, the
// client's address, which is no name of a user.
func (w *watch) user() string {
	if w.op.Identity.Name != "" {
		return "user " + w.op.Identity.Name
	}
	return acl.ClientOf(w.peer.Addr.Addr()).String()
}

// Why a watch was ended from here.
var (
	errRevoked  = errors.New("the reader lost the right to the key")
	errDraining = errors.New("the proxy is shutting down")
	errGone     = errors.New("the client has left")
)

func newWatches(limit, each int, m *Metrics) *watches {
	return &watches{limit: limit, each: each, metrics: m, running: make(map[*watch]struct{}), users: make(map[string]int)}
}

// enter takes note of a watch that is about to start.
func (ws *watches) enter(w *watch) *Refusal {
	user := w.user()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	switch {
	case ws.drained:
		return refuseDraining
	case len(ws.running) >= ws.limit:
		return refuseWatches
	case ws.users[user] >= ws.each:
		return refuseUserWatches
	}
	ws.running[w] = struct{}{}
	ws.users[user]++
	ws.metrics.watches.Inc()
	return nil
}

// leave takes note of a watch's end and its reason, from the closed set of the
// metric. On return its end will not be called any more.
func (ws *watches) leave(w *watch, reason string) {
	user := w.user()
	ws.mu.Lock()
	delete(ws.running, w)
	if ws.users[user]--; ws.users[user] == 0 {
		delete(ws.users, user)
	}
	ws.mu.Unlock()
	ws.metrics.watches.Dec()
	ws.metrics.watchEnds[reason].Inc()
}

// count is how many run.
func (ws *watches) count() int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.running)
}

// recheck ends the watches that a new snapshot does not allow any more.
func (ws *watches) recheck(g *Gate, s *Snapshot) {
	ws.mu.Lock()
	all := slices.Collect(maps.Keys(ws.running))
	ws.mu.Unlock()
	// Not under the lock: to verify thousands of certificates takes a while.
	gone := slices.DeleteFunc(all, func(w *watch) bool { return g.Still(s, w.op, w.peer) })
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range gone {
		if _, running := ws.running[w]; running {
			w.end(errRevoked)
		}
	}
}

// drain ends all watches and lets no new one start.
func (ws *watches) drain() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.drained = true
	for w := range ws.running {
		w.end(errDraining)
	}
}
