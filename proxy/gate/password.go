package gate

import (
	"context"
	"math"
	"unsafe"

	"etcd-tlsproxy/acl"
)

// login verifies a password and fills op with the result. A remembered password costs no
// hash. Any other must first pass the throttle of its address, so that guessing is slow and
// cannot exhaust the processor.
func (g *Gate) login(ctx context.Context, p *Policy, peer *Peer, user, secret []byte, op *Operation) *Refusal {
	users, from := p.Users, peer.Addr.Addr()
	// Remembered keeps neither string, so they may be views.
	if view := unsafe.String(unsafe.SliceData(user), len(user)); users.Remembered(view, unsafe.String(unsafe.SliceData(secret), len(secret))) {
		stored, _ := users.CanonicalName(view)
		op.Login, op.Identity = LoginRemembered, known(users, stored)
		return nil
	}
	name, password := string(user), string(secret)
	waits := p.waits(name)
	if waits {
		// The password of the files is right, although nobody may log in with it. Whoever has
		// it guesses nothing.
		if users = p.Waiting; users.Remembered(name, password) {
			op.Login, op.Claimed = LoginWaiting, name
			return nil
		}
	}
	if ok, wait := g.Throttle.Allow(from); !ok {
		op.Login, op.Claimed = LoginThrottled, p.claimed(name)
		refusal := *RefuseThrottled
		refusal.RetryAfter = max(1, int(math.Ceil(wait.Seconds())))
		return &refusal
	}
	client := acl.Client{Suspect: func() bool { return g.Throttle.Suspect(from) }}
	if g.HashTurn != nil {
		client.Turn = func(ctx context.Context, ofSuspects bool) (func(), error) { return g.HashTurn(ctx, peer, ofSuspects) }
	}
	ok, err := users.Verify(ctx, name, password, client)
	switch {
	case err != nil: // too many logins are waiting, or the client left
		g.Throttle.Return(from)
		op.Login, op.Claimed = LoginBusy, p.claimed(name)
		return RefuseBusy
	case !ok:
		g.Throttle.Failed(from)
		op.Login, op.Claimed = LoginUnknownUser, p.claimed(name)
		if users.Has(name) {
			op.Login = LoginWrongPassword
		}
		return nil
	}
	g.Throttle.Return(from)
	if waits {
		op.Login, op.Claimed = LoginWaiting, name
		return nil
	}
	op.Login, op.Identity = LoginVerified, known(users, name)
	return nil
}

// waits reports whether a user's password in the files is not in force.
func (p *Policy) waits(name string) bool { return p.Waiting != nil && p.Waiting.Has(name) }

// known returns the identity of a verified user.
func known(users *acl.Users, name string) Identity {
	fingerprint, ok := users.Fingerprint(name)
	if !ok {
		panic("BUG: a verified user is unknown")
	}
	return Identity{Name: name, Known: ByPassword, fingerprint: fingerprint}
}
