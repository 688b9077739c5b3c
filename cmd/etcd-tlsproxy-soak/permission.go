package main

import (
	"sync"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// permission is a right that is granted and withdrawn during a run. While it does not
// change, requests must be answered accordingly; while it changes, either answer is
// right.
type permission struct {
	mu    sync.Mutex
	state permissionState
}

type permissionState struct {
	granted  bool
	changing bool
	changes  int
}

// newPermission returns a permission that is granted.
func newPermission() *permission { return &permission{state: permissionState{granted: true}} }

// now returns the state. If two calls return the same state and it is not changing, the
// permission was the same all the time between them.
func (p *permission) now() permissionState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// startChange is called before the files are written, endChange once the change has been
// seen to be in effect.
func (p *permission) startChange(granted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = permissionState{granted: granted, changing: true, changes: p.state.changes + 1}
}

func (p *permission) endChange() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.changing = false
	p.state.changes++
}

// use sends requests that need a permission.
func (c *client) use(p *permission, target, user string) {
	for c.isWorking() {
		r := &transport.Request{Method: "PUT", Target: target, User: user, Form: "value=1"}
		before := p.now()
		// Without the permission the proxy answers without etcd.
		r.Local = !before.granted && !before.changing
		got, outcome := c.do(r, 200, 201, 401, 429)
		if outcome == done && !before.changing && before == p.now() {
			refused := got.Status == 401 || got.Status == 429
			if refused == before.granted {
				c.mismatch("%v by %s: got status %d while granted=%t: %.200s", r, user, got.Status, before.granted, got.Body)
			}
		}
		c.pause(50)
		if !before.granted {
			sleep(c.working, 400*time.Millisecond) // failed logins make an address wait
		}
	}
}

// useNarrow writes a key that rules close to everyone but root at times.
func (c *client) useNarrow() { c.use(c.narrow, "/soak/narrow/k", "worker") }

// useGuest logs in as a user that is removed from the htpasswd file at times. Until then
// the password is right; after that it fails like a wrong one.
func (c *client) useGuest() { c.use(c.guest, "/soak/guest/k", "guest") }
