package proxy

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"etcd-tlsproxy/acl"
)

// Request is what a lane has read of a request: nothing in it is trusted or
// decided. Its strings need to live only until the answer is complete.
type Request struct {
	Method string
	// Target is the request target in the client's spelling.
	Target string
	// Authorization is the value of the one Authorization field; a request with
	// several never gets here.
	Authorization string
	// Upgrade is set if the client asks for another protocol.
	Upgrade bool
	Peer    *Peer
	// assumed is who the client is taken for; only an explanation takes it for someone.
	assumed *Identity
}

// Operation is what the gate made of a request.
type Operation struct {
	// Method is one of GET, HEAD, PUT, POST, DELETE and OPTIONS.
	Method string
	// Target is what etcd is sent: the canonical path, re-encoded from its
	// segments, and the client's query.
	Target string
	// Path is the canonical path in Target.
	Path string
	// Surface is the part of etcd's port; Key is set on Keys.
	Surface Surface
	Key     acl.Key
	Access  acl.Access
	// Watch is set if etcd will answer when something changes, and not before.
	Watch bool
	// Identity is who the client is, if that mattered.
	Identity Identity
	// Rule is the prefix of the rule that decided on a key.
	Rule acl.Key
}

// Gate decides. It is written once, over small values that any lane can fill.
type Gate struct {
	throttle *acl.Throttle
	memory   *memory
	metrics  *Metrics
}

// Decide finds out what a request asks for and whether its client may. It fills
// op, as far as it got, for the records; a nil refusal means that op may be
// carried out. It reads nothing but its arguments and how much
// memory is left, and works while etcd is down.
func (g *Gate) Decide(ctx context.Context, s *Snapshot, req *Request, op *Operation) *Refusal {
	refusal := g.decide(ctx, s, req, op)
	g.metrics.decision(op, refusal)
	s.tallies.count(op, refusal)
	return refusal
}

func (g *Gate) decide(ctx context.Context, s *Snapshot, req *Request, op *Operation) *Refusal {
	*op = Operation{Method: knownMethod(req.Method)}
	if op.Method == "" {
		return refuseMethod
	}
	if op.Method != http.MethodGet && op.Method != http.MethodHead && op.Method != http.MethodOptions {
		op.Access = acl.Write
	}
	if !g.memory.admits(op.Access) {
		return refuseSpace
	}
	if refusal := readTarget(s, req, op); refusal != nil {
		return refusal
	}
	if req.Upgrade {
		return refuseUpgrade
	}
	if req.assumed == nil && s.Certs.Required() {
		// The handshake asked for a certificate; since then its CA may have gone.
		if _, err := req.Peer.certificate(s.Certs); err != nil {
			return refuseIdentity
		}
	}
	if s.ReadOnly && op.Access == acl.Write {
		return refuseReadOnly
	}
	if op.Surface == Keys {
		return g.decideKey(ctx, s, req, op)
	}
	return g.decideSurface(ctx, s, req, op)
}

// knownMethod is the method as a constant, so that it outlives the request; ""
// if it is none that etcd's v2 API has. OPTIONS is answered by the proxy itself.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodHead:
		return http.MethodHead
	case http.MethodPut:
		return http.MethodPut
	case http.MethodPost:
		return http.MethodPost
	case http.MethodDelete:
		return http.MethodDelete
	case http.MethodOptions:
		return http.MethodOptions
	}
	return ""
}

// readTarget makes the client's target canonical.
func readTarget(s *Snapshot, req *Request, op *Operation) *Refusal {
	if len(req.Target) > s.Limits.Target {
		return refuseTooLong
	}
	if req.Target == "*" && op.Method == http.MethodOptions {
		op.Target, op.Path, op.Surface = "*", "*", Info
		return nil
	}
	origin, ok := originForm(req.Target)
	if !ok {
		return refuseTarget
	}
	path, query, hasQuery := strings.Cut(origin, "?")
	canonical, err := acl.ParsePath(path)
	if err != nil {
		var refused *acl.PathError
		if !errors.As(err, &refused) {
			panic("BUG: a path is refused without a reason: " + err.Error())
		}
		return refusePath(refused.Reason)
	}
	if !goodQuery(query) {
		return refuseQuery
	}
	op.Surface = surfaceOf(canonical.Decoded)
	op.Path = canonical.Escaped
	if op.Surface == Keys {
		op.Key = acl.Key(canonical.Decoded[len(keysPrefix):])
		if op.Key == "" {
			// nginx answered /v2/keys with a redirect to a host of the client's choice.
			op.Key = acl.Root
		}
	}
	switch {
	case canonical.Escaped == path:
		op.Target = origin
	case hasQuery:
		op.Target = canonical.Escaped + "?" + query
	default:
		op.Target = canonical.Escaped
	}
	// Encoding can make a target longer than the client's spelling was.
	if len(op.Target) > s.Limits.Target {
		return refuseTooLong
	}
	op.Watch = op.Surface == Keys && op.Method == http.MethodGet && waits(query)
	return nil
}

func (g *Gate) decideKey(ctx context.Context, s *Snapshot, req *Request, op *Operation) *Refusal {
	if op.Access == acl.Write && op.Key.Reserved() {
		return refuseReserved
	}
	op.Rule = s.Rules.Governing(op.Key).Prefix
	if op.Method == http.MethodOptions {
		return nil // answered here, and tells nothing of the key
	}
	allowed := s.Rules.Allowed(op.Access, op.Key)
	refusal := g.admit(ctx, s, req, op, allowed)
	if refusal == refuseIdentity {
		// The rule that stands in the way can be one below the key.
		op.Rule = s.Rules.Refusing(op.Access, op.Key, op.Identity.Name).Prefix
	}
	return refusal
}

func (g *Gate) decideSurface(ctx context.Context, s *Snapshot, req *Request, op *Operation) *Refusal {
	open := op.Surface == Info || op.Surface == Members
	if open && op.Access == acl.Read {
		return nil
	}
	allowed, opened := s.Surfaces[op.Surface]
	if !opened {
		return refuseSurface
	}
	return g.admit(ctx, s, req, op, allowed)
}

// admit lets the client through if it is in the group. Where everyone is,
// credentials are not looked at: libraries send them with every read, right or
// wrong, and a password hash costs more than the read.
func (g *Gate) admit(ctx context.Context, s *Snapshot, req *Request, op *Operation, allowed acl.Group) *Refusal {
	if allowed.IsEveryone() {
		return nil
	}
	identity, refusal := g.identify(ctx, s, req)
	if refusal != nil {
		return refusal
	}
	op.Identity = identity
	if !allowed.Has(identity.Name) {
		return refuseIdentity
	}
	return nil
}

// Still reports whether a running watch may go on under a new snapshot: its
// reader must have kept both the right and the identity it was given for.
func (g *Gate) Still(s *Snapshot, op *Operation, peer *Peer) bool {
	if s.Certs.Required() {
		if _, err := peer.certificate(s.Certs); err != nil {
			return false
		}
	}
	allowed := s.Rules.Allowed(acl.Read, op.Key)
	if allowed.IsEveryone() {
		return true
	}
	switch op.Identity.Known {
	case ByPassword:
		print, ok := s.Users.Fingerprint(op.Identity.Name)
		return ok && print == op.Identity.print && allowed.Has(op.Identity.Name)
	case ByCertificate:
		name, err := peer.certificate(s.Certs)
		return err == nil && name == op.Identity.Name && allowed.Has(name)
	}
	return false
}
