package proxy

import (
	"context"
	"net/http"

	"etcd-tlsproxy/acl"
)

// Explanation is what the gate decides about a request, and why.
type Explanation struct {
	Allowed bool `json:"allowed"`
	// Reason is "allowed", or why not, as in the metrics; Message is what the client
	// would read.
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
	Status  int    `json:"status,omitempty"`
	User    string `json:"user"` // "" is an unknown client
	Method  string `json:"method"`
	// Path is the canonical one, "" if the request's cannot be read; Key is set where
	// it is a key's.
	Path string `json:"path,omitempty"`
	Key  string `json:"key,omitempty"`
	// Rule is the prefix of the rule that decided.
	Rule string `json:"rule,omitempty"`
}

// Explain decides about a request as the gate would, for a user who has proven to be
// that one, or for an unknown client if user is "".
func (s *Snapshot) Explain(user, method, target string) Explanation {
	who := Identity{Name: user, Known: ByPassword}
	if user == "" {
		who = Identity{}
	}
	var op Operation
	refusal := (&Gate{}).decide(context.Background(), s, &Request{Method: method, Target: target, known: &who}, &op)
	e := Explanation{Allowed: refusal == nil, Reason: "allowed", User: user, Method: method, Path: op.Path, Key: string(op.Key), Rule: string(op.Rule)}
	if refusal != nil {
		e.Reason, e.Message, e.Status = refusal.Reason, refusal.text, refusal.Status
	}
	return e
}

// Allowed is who may read or write a key: everyone, or the users of the group; and
// the prefix of the rule at or above it.
func (s *Snapshot) Allowed(access acl.Access, key acl.Key) (acl.Group, acl.Key) {
	rule := s.Rules.Governing(key).Prefix
	if access == acl.Write && (s.ReadOnly || key.Reserved()) {
		return acl.Only(), rule
	}
	return s.Rules.Allowed(access, key), rule
}

// KeyTarget is the request target of a key that is written as in a rule.
func KeyTarget(key string) string { return keysPrefix + key }

// Methods are those that can be asked for.
func Methods() []string {
	return []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodOptions}
}
