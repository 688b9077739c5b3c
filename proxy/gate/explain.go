package gate

import (
	"context"
	"strings"

	"etcd-tlsproxy/acl"
)

// Explanation is what the gate would decide about a request of a known user, and why.
type Explanation struct {
	User    string `json:"user,omitempty"`
	Method  string `json:"method"`
	Target  string `json:"target"` // as etcd would receive it
	Allowed bool   `json:"allowed"`
	Status  int    `json:"status,omitempty"`  // of a refusal
	Reason  string `json:"reason,omitempty"`  // of a refusal, as in metrics and the audit log
	Cause   string `json:"cause,omitempty"`   // of a refusal, in words
	Rule    string `json:"rule,omitempty"`    // the prefix of the rule that decides
	NoRule  bool   `json:"no_rule,omitempty"` // no rule covers the key
	// May lists the users who may do it, if a rule or the configuration names them.
	May      []string `json:"may,omitzero"`
	Everyone bool     `json:"everyone,omitempty"`
}

// Explain runs a request through the gate without a login. The user is taken as known;
// "" is an unknown client. A target is taken as a key unless it begins with /v2/ or is
// another path of etcd's port. Explain does not read the policy's users and certificates.
func (p *Policy) Explain(method, target, user string) *Explanation {
	g := &Gate{Admits: func(*Peer, acl.Access) bool { return true }}
	var op Operation
	refusal := g.Decide(context.Background(), p, &Request{Method: method, Target: explainedTarget(target), assumed: &Identity{Name: user}}, &op)
	e := &Explanation{User: user, Method: method, Target: op.Target, Allowed: refusal == nil, Rule: string(op.Rule)}
	if e.Target == "" {
		e.Target = target
	}
	e.NoRule = op.Surface == Keys && op.Key != "" && op.Rule == "" && (refusal == nil || refusal == RefuseIdentity)
	if refusal != nil {
		e.Status, e.Reason, e.Cause = refusal.Status, refusal.Reason, refusal.Cause
	}
	if group, ok := p.allowed(&op, refusal); ok {
		e.May, e.Everyone = group.Names(), group.IsEveryone()
	}
	return e
}

// allowed returns the group that may do an operation. ok is false if the decision does not
// depend on the user.
func (p *Policy) allowed(op *Operation, refusal *Refusal) (group acl.Group, ok bool) {
	switch {
	case refusal != nil && refusal != RefuseIdentity:
		return group, false
	case op.Surface == Keys:
		return p.Rules.Allowed(op.Access, op.Key), true
	}
	return p.surfaceGroup(op)
}

// explainedTarget lets operators write a key instead of a path. A key that begins
// like another path of etcd's port must be written with /v2/keys before it.
func explainedTarget(target string) string {
	path, _, _ := strings.Cut(target, "?")
	if strings.HasPrefix(path, "/v2/") || !strings.HasPrefix(path, "/") {
		return target
	}
	if canonical, err := acl.ParsePath(path); err == nil && surfaceOf(canonical.Decoded) != Closed {
		return target
	}
	return KeysPrefix + target
}
