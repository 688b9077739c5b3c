package explain

import (
	"net/http"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// What is what a user may do, by every rule of a table.
type What struct {
	User     string    `json:"user"` // "" is nobody
	Rules    []Extent  `json:"rules"`
	Surfaces []Surface `json:"surfaces"`
	// Bytewise is set if keys that begin with a rule's prefix byte by byte, as /ab does with
	// /a, need that rule as well: match = "both".
	Bytewise bool `json:"bytewise,omitempty"`
}

// Extent is what a user may do with the keys that one rule governs.
type Extent struct {
	// Rule is its prefix; "" stands for the keys that no rule covers.
	Rule  string `json:"rule"`
	Read  Reach  `json:"read"`
	Write Reach  `json:"write"`
}

// Reach is how far a right goes: Yes for all keys of the rule, No for none, Partly
// for those that have no other rule's prefix below them.
type Reach struct {
	Allowed string `json:"allowed"`
	// Refusing is the prefix of the first rule that takes the rest.
	Refusing string `json:"refusing,omitempty"`
	// Refused is why it is no, if no user may.
	Refused string `json:"refused,omitempty"`
}

// The values of Reach.Allowed.
const (
	Yes    = "yes"
	No     = "no"
	Partly = "partly"
)

// Surface is what a user may do with a part of etcd's port that holds no keys.
type Surface struct {
	Name  string `json:"surface"`
	Read  bool   `json:"read"`
	Write bool   `json:"write"`
}

// surfaces are the parts, each with a path that the gate decides about as about all of
// it.
var surfaces = [...]struct{ name, path string }{
	{"info", "/v2/machines"}, {"members", "/v2/members"}, {"auth", "/v2/auth/users"}, {"config", "/config/local/log"}, {"debug", "/debug/vars"}, {"v3", "/v3/kv/put"},
}

// WhatMay tells what a user may do, by every rule.
func WhatMay(s *gate.Policy, user string) *What {
	w := &What{User: user, Bytewise: s.Rules.Match() == acl.MatchBoth}
	for _, rule := range s.Rules.All() {
		w.Rules = append(w.Rules, Extent{Rule: prefixOf(rule), Read: reachOf(s, 0, rule.Prefix, user), Write: reachOf(s, 1, rule.Prefix, user)})
	}
	for _, surface := range surfaces {
		may := func(method string) bool { return s.Explain(method, surface.path, user).Allowed }
		w.Surfaces = append(w.Surfaces, Surface{Name: surface.name, Read: may(http.MethodGet), Write: may(http.MethodPost)})
	}
	return w
}

func reachOf(s *gate.Policy, kind int, prefix acl.Key, user string) Reach {
	a := accesses[kind]
	e := s.Explain(a.method, target(prefix), user)
	governing := s.Rules.Governing(prefix)
	switch {
	case e.Allowed:
		return Reach{Allowed: Yes}
	case e.Status != http.StatusUnauthorized:
		return Reach{Allowed: No, Refused: e.Cause}
	case governing.Group(a.access).Has(user):
		return Reach{Allowed: Partly, Refusing: e.Rule}
	}
	return Reach{Allowed: No}
}
