package gate

import (
	"context"

	"etcd-tlsproxy/acl"
)

// Gate decides. One Gate serves all lanes.
type Gate struct {
	// Throttle slows failed logins, across all policies.
	Throttle *acl.Throttle
	// Admits reports whether there is memory for one more operation.
	Admits func(acl.Access) bool
	// Login is called for each attempt to identify a client, with the means and the result:
	// ok, remembered, failed, throttled, busy or none.
	Login func(means Known, result string)
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
	if !g.Admits(op.Access) {
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
		if _, err := req.Peer.certificate(p.Certs); err != nil {
			return RefuseIdentity
		}
	}
	if p.ReadOnly && op.Access == acl.Write {
		return RefuseReadOnly
	}
	if op.Surface == Keys {
		return g.decideKey(ctx, p, req, op)
	}
	return g.decideSurface(ctx, p, req, op)
}

func (g *Gate) decideKey(ctx context.Context, p *Policy, req *Request, op *Operation) *Refusal {
	if op.Access == acl.Write && op.Key.Reserved() {
		return RefuseReserved
	}
	op.Rule = p.Rules.Governing(op.Key).Prefix
	if op.Method == MethodOptions {
		return nil // the proxy answers it, and the answer reveals nothing about the key
	}
	allowed := p.Rules.Allowed(op.Access, op.Key)
	refusal := g.admit(ctx, p, req, op, allowed)
	if refusal == RefuseIdentity {
		// The refusing rule can be one for a prefix below the key.
		op.Rule = p.Rules.Refusing(op.Access, op.Key, op.Identity.Name).Prefix
	}
	return refusal
}

func (g *Gate) decideSurface(ctx context.Context, p *Policy, req *Request, op *Operation) *Refusal {
	if op.Surface == Closed {
		return RefusePath
	}
	open := op.Surface == Info || op.Surface == Members
	if open && op.Access == acl.Read {
		return nil
	}
	allowed, opened := p.Surfaces[op.Surface]
	if !opened {
		return RefuseSurface
	}
	return g.admit(ctx, p, req, op, allowed)
}

// admit lets the client through if it is in the group. If the group is everyone, the
// credentials are not looked at: libraries send them with every read, right or
// wrong, and a password hash costs more than the read.
func (g *Gate) admit(ctx context.Context, p *Policy, req *Request, op *Operation, allowed acl.Group) *Refusal {
	if allowed.IsEveryone() {
		return nil
	}
	identity, refusal := g.identify(ctx, p, req)
	if refusal != nil {
		return refusal
	}
	op.Identity = identity
	if !allowed.Has(identity.Name) {
		return RefuseIdentity
	}
	return nil
}

// Still reports whether a running watch may continue under a new policy. Its reader must
// still have the right, and must still be known by the identity that had it.
func (g *Gate) Still(p *Policy, op *Operation, peer *Peer) bool {
	if p.Certs.Required() {
		if _, err := peer.certificate(p.Certs); err != nil {
			return false
		}
	}
	allowed := p.Rules.Allowed(acl.Read, op.Key)
	if allowed.IsEveryone() {
		return true
	}
	switch op.Identity.Known {
	case ByPassword:
		fingerprint, ok := p.Users.Fingerprint(op.Identity.Name)
		return ok && fingerprint == op.Identity.fingerprint && allowed.Has(op.Identity.Name)
	case ByCertificate:
		name, err := peer.certificate(p.Certs)
		return err == nil && name == op.Identity.Name && allowed.Has(name)
	}
	return false
}
