package account

import (
	"context"
	"sync"
)

// Turns lets one client at a time work on what a name stands for, such as a key that several clients
// change. The others wait: networks take turns, and within a network its accounts. Different names have
// nothing to do with each other. The zero value is ready for use.
type Turns struct {
	mu    sync.Mutex
	lines map[string]*queue // of the names at which somebody works
}

// maxLine bounds those who wait for one name. When there are more, the account with the most waiters, of
// the network with the most, loses its last one.
const maxLine = 10_000

// nobody stands for all who have no account.
var nobody = &Account{}

// TryTake takes the turn at a name if nobody has it. The turn must be passed on.
func (t *Turns) TryTake(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines[name] != nil {
		return false
	}
	if t.lines == nil {
		t.lines = make(map[string]*queue)
	}
	line := newQueue(nil)
	t.lines[name] = &line
	return true
}

// Take waits for the turn at a name, which must be passed on unless there is an error: that of ctx, or
// [ErrBusy]. The account may be nil.
func (t *Turns) Take(ctx context.Context, name string, a *Account) error {
	if t.TryTake(name) {
		return nil
	}
	if a == nil {
		a = nobody
	}
	w := &waiter{account: a, n: 1, kind: Write, settled: make(chan struct{})}
	if !t.enter(name, w) {
		return nil
	}
	select {
	case <-w.settled:
		return w.err
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.hasEnded() {
		return w.err // at the last moment
	}
	t.lines[name].remove(w)
	return context.Cause(ctx)
}

// enter adds a waiter. If nobody has the turn any more, it takes the turn instead and returns false.
func (t *Turns) enter(name string, w *waiter) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := t.lines[name]
	if line == nil {
		free := newQueue(nil)
		t.lines[name] = &free
		return false
	}
	line.push(w)
	if line.len > maxLine {
		last := line.greediest()
		line.remove(last)
		last.end(ErrBusy)
	}
	return true
}

// Pass gives the turn to the next one.
func (t *Turns) Pass(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := t.lines[name]
	if line == nil {
		panic("BUG: a turn is passed on that nobody has")
	}
	next := line.next(everybody)
	if next == nil {
		delete(t.lines, name)
		return
	}
	line.served(next)
	next.end(nil)
}

// Waiting returns how many clients wait for the turn at a name.
func (t *Turns) Waiting(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if line := t.lines[name]; line != nil {
		return line.len
	}
	return 0
}
