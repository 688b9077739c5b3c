package main

import (
	"sync"
	"time"
)

// gate is a right that comes and goes. While nothing changes, requests must be
// answered as it stands; while it does, either way.
type gate struct {
	mu       sync.Mutex
	open     bool
	changing bool
	turns    int
}

// look tells the state. Two equal looks that are not changing mean that it was the
// same all the time between them.
func (g *gate) look() (open, changing bool, turns int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open, g.changing, g.turns
}

// turn is called before the files change, settle once it was seen to be in force.
func (g *gate) turn(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open, g.changing = open, true
	g.turns++
}

func (g *gate) settle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changing = false
	g.turns++
}

// pass goes through a gate again and again.
func (a *actor) pass(g *gate, target, user string) {
	for n := 0; a.working(); n++ {
		r := &request{method: "PUT", target: target, user: user, form: "value=1"}
		open, changing, turns := g.look()
		// Where it is closed the proxy answers alone.
		r.local = !open && !changing
		got, outcome := a.do(r, 200, 201, 401, 429)
		_, _, now := g.look()
		if outcome == done && !changing && now == turns {
			refused := got.status == 401 || got.status == 429
			if refused == open {
				a.wrong("%v by %s: %d %.200s, and the right is given: %t", r, user, got.status, got.body, open)
			}
		}
		a.pace(50)
		if !open {
			sleep(a.work, 400*time.Millisecond) // failed logins are throttled
		}
	}
}

// passNarrow reads and writes what is closed to all but root now and then.
func (a *actor) passNarrow() { a.pass(a.narrow, "/soak/narrow/k", "worker") }

// passGuest logs in as the user who is removed now and then. The password is right
// until then, and fails like any wrong one after that.
func (a *actor) passGuest() { a.pass(a.guest, "/soak/guest/k", "guest") }
