package account

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// call is one call of Acquire in a test.
type call struct {
	account *Account
	n       int64
	kind    Kind
	cancel  context.CancelFunc
	done    chan error
}

// world is a pool, and what a test knows of it.
type world struct {
	*rapid.T
	pool     *Pool
	accounts []*Account
	ones     bool // every acquisition is of one unit
	held     []*call
	waiting  []*call
}

func newWorld(t *rapid.T) *world {
	table := NewTable()
	total := rapid.Int64Range(1, 40).Draw(t, "total")
	w := &world{T: t, ones: rapid.Bool().Draw(t, "ones"), pool: table.NewPool(Options{
		Name: "test", Total: total,
		Reserve:      rapid.Int64Range(0, total/2).Draw(t, "reserve"),
		ForNewcomers: rapid.Bool().Draw(t, "for newcomers"),
		PerAccount:   rapid.SampledFrom([]int64{0, 0, total/2 + 1}).Draw(t, "per account"),
		Queue:        rapid.IntRange(1, 12).Draw(t, "queue"),
	})}
	for i := range 9 {
		w.accounts = append(w.accounts, client(table, i/3, i%3))
	}
	return w
}

func (w *world) draw() *call {
	c := &call{
		account: rapid.SampledFrom(w.accounts).Draw(w.T, "account"),
		kind:    rapid.SampledFrom([]Kind{Ordinary, Write}).Draw(w.T, "kind"),
		n:       1,
	}
	if !w.ones {
		c.n = rapid.Int64Range(1, 5).Draw(w.T, "n")
	}
	return c
}

func (w *world) acquire(*rapid.T) {
	c := w.draw()
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	c.done = make(chan error, 1)
	go func() { c.done <- w.pool.Acquire(ctx, c.account, c.n, c.kind) }()
	w.waiting = append(w.waiting, c)
}

func (w *world) tryAcquire(*rapid.T) {
	c := w.draw()
	c.cancel = func() {}
	if w.pool.TryAcquire(c.account, c.n, c.kind) {
		w.held = append(w.held, c)
	}
}

func (w *world) release(t *rapid.T) {
	if len(w.held) == 0 {
		t.Skip("nothing is held")
	}
	i := rapid.IntRange(0, len(w.held)-1).Draw(w.T, "released")
	w.releaseAt(i)
}

func (w *world) releaseAt(i int) {
	c := w.held[i]
	w.held = append(w.held[:i:i], w.held[i+1:]...)
	w.pool.Release(c.account, c.n, c.kind)
}

func (w *world) giveUp(t *rapid.T) {
	if len(w.waiting) == 0 {
		t.Skip("nobody waits")
	}
	rapid.SampledFrom(w.waiting).Draw(w.T, "given up").cancel()
}

func (w *world) pass(*rapid.T) { pass(2 * reclaimEvery) }

// settle waits until all calls have returned that can.
func (w *world) settle() {
	synctest.Wait()
	var still []*call
	for _, c := range w.waiting {
		select {
		case err := <-c.done:
			c.cancel()
			switch {
			case err == nil:
				w.held = append(w.held, c)
			case !errors.Is(err, context.Canceled) && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrTooMany):
				w.Fatalf("acquiring failed with %v, which is not an error of the pool", err)
			}
		default:
			still = append(still, c)
		}
	}
	w.waiting = still
}

// check checks everything that must hold at any time.
func (w *world) check(*rapid.T) {
	w.settle()
	p := w.pool
	used, ordinary, largest := int64(0), int64(0), int64(0)
	of := make(map[*Account]int64)
	for _, c := range w.held {
		used += c.n
		of[c.account] += c.n
		if c.kind == Ordinary {
			ordinary += c.n
		}
	}
	if p.Used() != used || p.Status().Waiting != int64(len(w.waiting)) {
		w.Fatalf("got %d units in use and %d waiters, want %d and %d", p.Used(), p.Status().Waiting, used, len(w.waiting))
	}
	for _, a := range w.accounts {
		if a.Held(p) != of[a] || p.perAccount > 0 && of[a] > p.perAccount {
			w.Fatalf("account %s: got %d units, want %d, and at most %d", a, a.Held(p), of[a], p.perAccount)
		}
	}
	if used > p.total || !p.newcomers && ordinary > p.total-p.reserve {
		w.Fatalf("got %d units in use, %d of them not for writes, of a total of %d with a reserve of %d", used, ordinary, p.total, p.reserve)
	}
	for _, network := range p.queue.networks {
		for a, waits := range network.accounts {
			if waits.units <= 0 {
				w.Fatalf("account %s is in the queue, but waits for %d units", a, waits.units)
			}
		}
	}
	if len(w.waiting) > p.maxWaiters {
		w.Fatalf("got %d waiters, want at most %d", len(w.waiting), p.maxWaiters)
	}
	for _, c := range w.waiting {
		largest = max(largest, c.n)
	}
	for _, c := range w.waiting {
		switch {
		case p.newcomers && used+largest <= p.total-p.reserve,
			!p.newcomers && c.kind == Write && used+largest <= p.total,
			!p.newcomers && used+largest <= p.total && ordinary+largest <= p.total-p.reserve:
			w.Fatalf("account %s waits for %d units of kind %d although %d of %d are in use, %d of them not for writes", c.account, c.n, c.kind, used, p.total, ordinary)
		}
	}
}

func (w *world) end() {
	for _, c := range w.waiting {
		c.cancel()
	}
	w.settle()
	for len(w.held) > 0 {
		w.releaseAt(0)
	}
	for _, a := range w.accounts {
		a.Close()
	}
	checkEmpty(w, w.pool)
	pass(2 * reclaimEvery) // the timer has nothing left to do
}

func TestAPoolIsNeverExceededNothingIsLostAndNobodyWaitsForWhatIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// rapid asks a *testing.T for its deadline, which a test in a bubble does not have.
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			w := newWorld(t)
			t.Repeat(map[string]func(*rapid.T){
				"acquire": w.acquire, "acquire more": w.acquire, "try": w.tryAcquire, "release": w.release,
				"give up": w.giveUp, "pass": w.pass, "": w.check,
			})
			w.end()
		})
	})
}
