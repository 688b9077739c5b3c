package proxy

import (
	"context"
	"math"
	"net/netip"
	"unsafe"

	"etcd-tlsproxy/acl"
)

// login verifies a password. A remembered one costs no hash; another must first
// pass the throttle of its address, so that guessing is slow and cannot use the
// processor up.
func (g *Gate) login(ctx context.Context, users *acl.Users, from netip.Addr, user, secret []byte) (Identity, *Refusal) {
	// Views, for as long as this check takes: it keeps neither.
	if view := unsafe.String(unsafe.SliceData(user), len(user)); users.Remembered(view, unsafe.String(unsafe.SliceData(secret), len(secret))) {
		g.metrics.remembered.Inc()
		stored, _ := users.Stored(view)
		return known(users, stored), nil
	}
	name, password := string(user), string(secret)
	if ok, wait := g.throttle.Allow(from); !ok {
		g.loginResult("throttled")
		refusal := *refuseThrottled
		refusal.RetryAfter = max(1, int(math.Ceil(wait.Seconds())))
		return Identity{}, &refusal
	}
	ok, err := users.Verify(ctx, name, password, func() bool { return g.throttle.Suspect(from) })
	switch {
	case err != nil: // too many are waiting, or the client left while it waited
		g.throttle.Return(from)
		g.loginResult("busy")
		return Identity{}, refuseBusy
	case !ok:
		g.throttle.Failed(from)
		g.loginResult("failed")
		return Identity{}, nil
	}
	g.throttle.Return(from)
	g.loginResult("ok")
	return known(users, name), nil
}

func (g *Gate) loginResult(result string) {
	g.metrics.logins.WithLabelValues(ByPassword.String(), result).Inc()
}

func known(users *acl.Users, name string) Identity {
	print, ok := users.Fingerprint(name)
	if !ok {
		panic("BUG: a verified user is unknown")
	}
	return Identity{Name: name, Known: ByPassword, print: print}
}
