package gate

import (
	"context"
	"errors"
	"math"
	"time"
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
	throttled := func(wait time.Duration) *Refusal {
		op.Login, op.Claimed = LoginThrottled, p.claimed(name)
		refusal := *RefuseThrottled
		refusal.RetryAfter = max(1, int(math.Ceil(wait.Seconds())))
		return &refusal
	}
	if ok, wait := g.Throttle.Allow(from); !ok {
		return throttled(wait)
	}
	tooMany := time.Duration(0)
	client := acl.Client{Suspect: func() bool { return g.Throttle.Suspect(from) }}
	client.Turn = func(ctx context.Context, ofSuspects bool) (release func(), err error) {
		release = func() {}
		if g.HashTurn != nil {
			release, err = g.HashTurn(ctx, peer, ofSuspects)
		}
		if err != nil || ofSuspects || users.Remembered(name, password) {
			return release, err
		}
		// The logins that this one has waited for may have failed.
		if ok, wait := g.Throttle.Allow(from); !ok {
			release()
			tooMany = wait
			return nil, errThrottled
		}
		return release, nil
	}
	ok, err := users.Verify(ctx, name, password, client)
	switch {
	case errors.Is(err, errThrottled):
		return throttled(tooMany)
	case err != nil: // too many logins are waiting, or the client left
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
	if waits {
		op.Login, op.Claimed = LoginWaiting, name
		return nil
	}
	op.Login, op.Identity = LoginVerified, known(users, name)
	return nil
}

// waits reports whether a user's password in the files is not in force.
func (p *Policy) waits(name string) bool { return p.Waiting != nil && p.Waiting.Has(name) }

// errThrottled ends the wait of a login whose address has failed too often meanwhile.
var errThrottled = errors.New("too many logins of the address have failed")

// known returns the identity of a verified user.
func known(users *acl.Users, name string) Identity {
	fingerprint, ok := users.Fingerprint(name)
	if !ok {
		panic("BUG: a verified user is unknown")
	}
	return Identity{Name: name, Known: ByPassword, fingerprint: fingerprint}
}
