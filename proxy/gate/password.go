package gate

import (
	"context"
	"math"
	"net/netip"
	"unsafe"

	"etcd-tlsproxy/acl"
)

// login verifies a password. A remembered password costs no hash. Any other must first
// pass the throttle of its address, so that guessing is slow and cannot exhaust the
// processor.
func (g *Gate) login(ctx context.Context, users *acl.Users, from netip.Addr, user, secret []byte) (Identity, *Refusal) {
	// Remembered keeps neither string, so they may be views.
	if view := unsafe.String(unsafe.SliceData(user), len(user)); users.Remembered(view, unsafe.String(unsafe.SliceData(secret), len(secret))) {
		g.Login(ByPassword, "remembered")
		stored, _ := users.CanonicalName(view)
		return known(users, stored), nil
	}
	name, password := string(user), string(secret)
	if ok, wait := g.Throttle.Allow(from); !ok {
		g.Login(ByPassword, "throttled")
		refusal := *RefuseThrottled
		refusal.RetryAfter = max(1, int(math.Ceil(wait.Seconds())))
		return Identity{}, &refusal
	}
	ok, err := users.Verify(ctx, name, password, func() bool { return g.Throttle.Suspect(from) })
	switch {
	case err != nil: // too many logins are waiting, or the client left
		g.Throttle.Return(from)
		g.Login(ByPassword, "busy")
		return Identity{}, RefuseBusy
	case !ok:
		g.Throttle.Failed(from)
		g.Login(ByPassword, "failed")
		return Identity{}, nil
	}
	g.Throttle.Return(from)
	g.Login(ByPassword, "ok")
	return known(users, name), nil
}

// known returns the identity of a verified user.
func known(users *acl.Users, name string) Identity {
	fingerprint, ok := users.Fingerprint(name)
	if !ok {
		panic("BUG: a verified user is unknown")
	}
	return Identity{Name: name, Known: ByPassword, fingerprint: fingerprint}
}
