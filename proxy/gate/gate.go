package gate

import (
	"context"
	"time"

	"etcd-tlsproxy/acl"
)

// Gate decides. One Gate serves all lanes.
type Gate struct {
	// Throttle slows failed logins, across all policies.
	Throttle *acl.Throttle
	// Admits reports whether there is memory for one more operation of a client.
	Admits func(*Peer, acl.Access) bool
	// Audited reports whether a write can be recorded as the configuration requires; nil
	// means that it can.
	Audited func() bool
	// HashTurn waits until it is a client's turn to have a password hashed, among all
	// clients or among those that are suspect, and returns a function that ends the turn. If
	// it is nil, no login waits.
	HashTurn func(ctx context.Context, p *Peer, ofSuspects bool) (release func(), err error)
	// Login is called for each attempt to identify a client.
	Login func(Login)
}

// Decide determines which operation a request is and whether its client may carry it out.
// Even when it refuses the request it fills op as far as it knows it, for the logs. A nil
// refusal means that op may be carried out.
func (g *Gate) Decide(ctx context.Context, p *Policy, req *Request, op *Operation) *Refusal {
	*op = Operation{Method: knownMethod(req.Method)}
	if op.Method == "" {
		return RefuseMethod
	}
	if op.Method != MethodGet && op.Method != MethodHead && op.Method != MethodOptions {
		op.Access = acl.Write
	}
	if !g.Admits(req.Peer, op.Access) {
		return RefuseSpace
	}
	if refusal := readTarget(p, req, op); refusal != nil {
		return refusal
	}
	if req.Upgrade {
		return RefuseUpgrade
	}
	if req.assumed == nil && p.Certs.Required() {
		// The handshake asked for a certificate, but its CA may have been removed since.
		if _, _, err := req.Peer.certificate(p.Certs); err != nil {
			op.Login = loginOf(err)
			g.Login(op.Login)
			return RefuseIdentity
		}
	}
	if p.ReadOnly && op.IsWrite() {
		return RefuseReadOnly
	}
	if op.IsWrite() && g.Audited != nil && !g.Audited() {
		return RefuseUnaudited
	}
	if op.Surface == Keys {
		return g.decideKey(ctx, p, req, op)
	}
	return g.decideSurface(ctx, p, req, op)
}

func (g *Gate) decideKey(ctx context.Context, p *Policy, req *Request, op *Operation) *Refusal {
	if op.IsWrite() && op.Key.Reserved() {
		return RefuseReserved
	}
	if tooDeep(op) {
		return RefuseDepth
	}
	op.Rule = p.Rules.Governing(op.Key).Name()
	if op.Method == MethodOptions {
		return nil // the proxy answers it, and the answer reveals nothing about the key
	}
	allowed := p.Rules.Allowed(op.Access, op.Key)
	refusal := g.admit(ctx, p, req, op, allowed)
	if refusal == RefuseIdentity {
		// The refusing rule can be one for a prefix below the key.
		op.Rule = p.Rules.Refusing(op.Access, op.Key, op.Identity.Name).Name()
	}
	return refusal
}

// tooDeep reports whether the operation is about a key with too many segments. The limit
// holds for reads as well: etcd's answer about such a key repeats its path. Clusters may
// hold deeper keys from before, which can be read and deleted with a directory above them.
func tooDeep(op *Operation) bool {
	depth := op.Key.Depth()
	if op.Method == MethodPost {
		depth++ // etcd creates a key in the directory
	}
	return depth > acl.MaxDepth
}

func (g *Gate) decideSurface(ctx context.Context, p *Policy, req *Request, op *Operation) *Refusal {
	if op.Surface == Closed && !neverServed(op.Path) {
		return RefusePath
	}
	allowed, opened := p.surfaceGroup(op)
	if !opened {
		return RefuseSurface
	}
	if refusal := g.admit(ctx, p, req, op, allowed); refusal != nil {
		return refusal
	}
	if p.EtcdUsers.lockedOut(op) {
		return RefuseEnablingAuth
	}
	return nil
}

// admit lets the client through if it is in the group. If the group is everyone, the
// credentials are not looked at: libraries send them with every read, right or
// wrong, and a password hash costs more than the read.
func (g *Gate) admit(ctx context.Context, p *Policy, req *Request, op *Operation, allowed acl.Group) *Refusal {
	if allowed.IsEveryone() {
		return nil
	}
	if refusal := g.identify(ctx, p, req, op); refusal != nil {
		return refusal
	}
	if !allowed.Has(op.Identity.Name) {
		return RefuseIdentity
	}
	return nil
}

// Still reports whether a running watch may continue under a policy. Its reader must still
// have the right, and must still be known by the identity that had it. until is the time at
// which the right ends if nothing changes; zero if it does not end.
func (g *Gate) Still(p *Policy, op *Operation, peer *Peer) (still bool, until time.Time) {
	if p.Certs.Required() {
		var err error
		if _, until, err = peer.certificate(p.Certs); err != nil {
			return false, time.Time{}
		}
	}
	allowed := p.Rules.Allowed(acl.Read, op.Key)
	if allowed.IsEveryone() {
		return true, until
	}
	switch op.Identity.Known {
	case ByPassword:
		fingerprint, ok := p.Users.Fingerprint(op.Identity.Name)
		return ok && fingerprint == op.Identity.fingerprint && allowed.Has(op.Identity.Name), until
	case ByCertificate:
		name, until, err := peer.certificate(p.Certs)
		return err == nil && name == op.Identity.Name && allowed.Has(name), until
	}
	return false, time.Time{}
}

// Expires reports whether a certificate was needed for the operation, so that the right to
// it ends with the certificate.
func (op *Operation) Expires(p *Policy) bool {
	return op.Identity.Known == ByCertificate || p.Certs.Required()
}
