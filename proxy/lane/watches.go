package lane

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/observe"
)

// Watch is one running watch.
type Watch struct {
	Op   *gate.Operation // must not change while the watch is registered
	Peer *gate.Peer
	// End ends the watch from outside, with one of the causes below. It must not block.
	End context.CancelCauseFunc

	expiry  *time.Timer // rechecks the watch when its reader's right ends by itself; nil if it does not
	account *account.Account
}

// user returns the account that a watch is counted for: the user's name or, if the decision
// did not depend on it, the client's address. The two cannot be equal.
func (w *Watch) user() string {
	if w.Op.Identity.Name != "" {
		return "user " + w.Op.Identity.Name
	}
	return acl.ClientOf(w.Peer.Addr.Addr()).String()
}

// The causes with which a watch is ended from outside.
var (
	errRevoked  = errors.New("the reader lost the right to the key")
	errDraining = errors.New("the proxy is shutting down")
	errMoved    = errors.New("another API of etcd has the events now")
	// ErrShort means that others need the connection or the watch, and its account is above
	// its share.
	ErrShort = errors.New("too many connections or watches of the client")
	// ErrGone is for lanes: the client has disconnected.
	ErrGone = errors.New("the client has disconnected")
)

// Watches registers the running watches of all lanes.
type Watches struct {
	// Pool is the pool that watches are acquired from. If it is nil, only the limits hold.
	Pool *account.Pool

	maxTotal, maxPerUser int
	metrics              *observe.Metrics

	mu      sync.Mutex
	running map[*Watch]struct{}
	users   map[string]int
	drained bool
}

// NewWatches returns a registry for at most maxTotal watches and, unless maxPerUser is 0, so many
// of one user.
func NewWatches(maxTotal, maxPerUser int, m *observe.Metrics) *Watches {
	return &Watches{maxTotal: maxTotal, maxPerUser: maxPerUser, metrics: m, running: make(map[*Watch]struct{}), users: make(map[string]int)}
}

// watchPatience is how long a watch waits until the pool has taken one back from a client
// above its share.
const watchPatience = 2 * time.Second

// acquire acquires the place of a watch for an account, which release closes.
func (ws *Watches) acquire(w *Watch, a *account.Account) *gate.Refusal {
	w.account = a
	if acquireWithin(context.Background(), watchPatience, ws.Pool, a, account.Ordinary) != nil {
		a.Close()
		ws.mu.Lock()
		defer ws.mu.Unlock()
		return ws.refusal(w.user())
	}
	return nil
}

// refusal returns what refuses a watch for which there is no place; ws.mu is held. The client
// can do something about its own limit, so that is named first.
func (ws *Watches) refusal(user string) *gate.Refusal {
	if ws.isFull(user) {
		return gate.RefuseUserWatches
	}
	return gate.RefuseWatches
}

// isFull reports whether a user has all watches of one user; ws.mu is held.
func (ws *Watches) isFull(user string) bool {
	return ws.maxPerUser > 0 && ws.users[user] >= ws.maxPerUser
}

// release releases the place of a watch.
func (ws *Watches) release(w *Watch) {
	if ws.Pool != nil {
		ws.Pool.Unregister(w.account, runningWatch{ws, w})
		ws.Pool.Release(w.account, 1, account.Ordinary)
	}
	w.account.Close()
}

// runningWatch is a registered watch in the form in which the pool takes it back.
type runningWatch struct {
	watches *Watches
	watch   *Watch
}

// Class implements [account.Holder].
func (r runningWatch) Class() account.Class { return account.Watching }

// Revoke implements [account.Holder].
func (r runningWatch) Revoke(class account.Class) int64 {
	r.watches.mu.Lock()
	defer r.watches.mu.Unlock()
	if _, running := r.watches.running[r.watch]; !running || class != account.Watching {
		return 0
	}
	r.watch.End(ErrShort)
	return 1
}

// register adds a watch that is about to start.
func (ws *Watches) register(w *Watch) *gate.Refusal {
	user := w.user()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	switch {
	case ws.drained:
		return gate.RefuseDraining
	case len(ws.running) >= ws.maxTotal || ws.isFull(user):
		return ws.refusal(user)
	}
	ws.running[w] = struct{}{}
	ws.users[user]++
	ws.metrics.WatchStarted()
	return nil
}

// Release removes a watch that has ended, and counts its reason. End is not called after
// Release has returned.
func (ws *Watches) Release(w *Watch, reason string) {
	user := w.user()
	ws.mu.Lock()
	delete(ws.running, w)
	if w.expiry != nil {
		w.expiry.Stop()
	}
	if ws.users[user]--; ws.users[user] == 0 {
		delete(ws.users, user)
	}
	ws.mu.Unlock()
	ws.release(w)
	ws.metrics.WatchEnded(reason)
}

// Count returns the number of running watches.
func (ws *Watches) Count() int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.running)
}

// Largest returns the number of running watches of the user that has the most.
func (ws *Watches) Largest() (most int) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, n := range ws.users {
		most = max(most, n)
	}
	return most
}

// Recheck ends the watches that a new policy does not allow any more. Each ends as soon as
// that is known: verifying thousands of certificates takes a while.
func (ws *Watches) Recheck(g *gate.Gate, policy func() *gate.Policy) {
	ws.mu.Lock()
	all := slices.Collect(maps.Keys(ws.running))
	ws.mu.Unlock()
	for _, w := range all {
		ws.recheck(g, policy, w)
	}
}

// recheck ends a watch if its reader has lost the right. Otherwise it checks the watch again
// when the right ends by itself.
func (ws *Watches) recheck(g *gate.Gate, policy func() *gate.Policy, w *Watch) {
	still, until := g.Still(policy(), w.Op, w.Peer)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if _, running := ws.running[w]; !running {
		return
	}
	if w.expiry != nil {
		w.expiry.Stop()
		w.expiry = nil
	}
	switch {
	case !still:
		w.End(errRevoked)
	case !until.IsZero():
		// A certificate is valid up to and including its last second.
		w.expiry = time.AfterFunc(time.Until(until)+time.Millisecond, func() { ws.recheck(g, policy, w) })
	}
}

// Drain ends all watches and refuses new ones.
func (ws *Watches) Drain() {
	ws.mu.Lock()
	ws.drained = true
	ws.mu.Unlock()
	ws.EndAll()
}

// EndAll ends all watches, so that their clients connect again.
func (ws *Watches) EndAll() { ws.endAll(errDraining) }

// Moved ends all watches because their events will come from another API of etcd.
func (ws *Watches) Moved() { ws.endAll(errMoved) }

func (ws *Watches) endAll(cause error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.running {
		w.End(cause)
	}
}
