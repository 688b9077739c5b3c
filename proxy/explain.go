package proxy

import (
	"context"
	"strings"

	"etcd-tlsproxy/acl"
)

// Explanation is what the gate would decide about a request of a user who is known, and
// why.
type Explanation struct {
	User    string `json:"user,omitempty"`
	Method  string `json:"method"`
	Target  string `json:"target"` // as etcd would be sent it
	Allowed bool   `json:"allowed"`
	Status  int    `json:"status,omitempty"` // of a refusal
	Reason  string `json:"reason,omitempty"` // of a refusal, as in metrics and the audit log
	Cause   string `json:"cause,omitempty"`  // of a refusal, in words
	Rule    string `json:"rule,omitempty"`   // the prefix of the rule that decides
	// May is who may, if a rule or the configuration says so: users, or everyone.
	May      []string `json:"may,omitzero"`
	Everyone bool     `json:"everyone,omitempty"`
}

// Explain runs a request through the gate without logging anybody in. The user is taken
// for known; "" is nobody. A target that begins with anything but /v2/ and is no other
// path of etcd's port is taken for a key. It reads the rules, the surfaces, the limits
// and whether writes are refused, and nothing else of the snapshot.
func (s *Snapshot) Explain(method, target, user string) *Explanation {
	gate := &Gate{memory: &memory{}}
	assumed := Identity{Name: user}
	if user != "" {
		assumed.Known = ByPassword
	}
	var op Operation
	refusal := gate.decide(context.Background(), s, &Request{Method: method, Target: explainedTarget(target), assumed: &assumed}, &op)
	e := &Explanation{User: user, Method: method, Target: op.Target, Allowed: refusal == nil, Rule: string(op.Rule)}
	if e.Target == "" {
		e.Target = target
	}
	if refusal != nil {
		e.Status, e.Reason, e.Cause = refusal.Status, refusal.Reason, refusal.Cause
	}
	if group, ok := s.mayDo(&op, refusal); ok {
		e.May, e.Everyone = group.Names(), group.IsEveryone()
	}
	return e
}

// mayDo is who may do an operation; ok is false if that is not a matter of users.
func (s *Snapshot) mayDo(op *Operation, refusal *Refusal) (group acl.Group, ok bool) {
	switch {
	case refusal != nil && refusal != refuseIdentity:
		return group, false
	case op.Surface == Keys:
		return s.Rules.Allowed(op.Access, op.Key), true
	case op.Access == acl.Read && (op.Surface == Info || op.Surface == Members):
		return acl.Everyone(), true
	}
	group, ok = s.Surfaces[op.Surface]
	return group, ok
}

// explainedTarget lets operators write a key where a request has a path. Keys that begin
// like another path of etcd's port must be written with /v2/keys before them.
func explainedTarget(target string) string {
	path, _, _ := strings.Cut(target, "?")
	if strings.HasPrefix(path, "/v2/") || strings.Contains(path, "://") || !strings.HasPrefix(path, "/") {
		return target
	}
	if canonical, err := acl.ParsePath(path); err == nil && surfaceOf(canonical.Decoded) != Closed {
		return target
	}
	return keysPrefix + target
}
