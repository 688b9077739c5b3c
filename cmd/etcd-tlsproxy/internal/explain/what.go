package explain

import (
	"net/http"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// What lists what a user can access, by each rule of a table.
type What struct {
	User     string    `json:"user"` // "" is an anonymous client
	Rules    []Extent  `json:"rules"`
	Surfaces []Surface `json:"surfaces"`
	// Bytewise is set for match = "both": a key that begins with the bytes of a rule's
	// prefix, such as /ab for the rule /a, needs that rule's permission as well.
	Bytewise bool `json:"bytewise,omitempty"`
}

// Extent says what a user can do with the keys that one rule governs.
type Extent struct {
	// Rule is the prefix of the rule. It is empty for the keys that no rule covers.
	Rule  string `json:"rule"`
	Read  Reach  `json:"read"`
	Write Reach  `json:"write"`
}

// Reach says for which keys of a rule a right holds: Yes for all, No for none, Partly for
// those that have no prefix of another rule below them.
type Reach struct {
	Allowed string `json:"allowed"`
	// Refusing is the prefix of the first rule that refuses the rest.
	Refusing string `json:"refusing,omitempty"`
	// Refused is the reason if no user at all has the right.
	Refused string `json:"refused,omitempty"`
}

// The values of Reach.Allowed.
const (
	Yes    = "yes"
	No     = "no"
	Partly = "partly"
)

// Surface says what a user can do with a part of etcd's port that holds no keys.
type Surface struct {
	Name  string `json:"surface"`
	Read  bool   `json:"read"`
	Write bool   `json:"write"`
}

// surfaces lists the parts, each with a path that stands for all of its paths.
var surfaces = [...]struct{ name, path string }{
	{"info", "/v2/machines"}, {"members", "/v2/members"}, {"auth", "/v2/auth/users"}, {"config", "/config/local/log"}, {"debug", "/debug/vars"}, {"v3", "/v3/kv/put"},
}

// WhatMay returns what a user can access, by each rule.
func WhatMay(s *gate.Policy, user string) *What {
	w := &What{User: user, Bytewise: s.Rules.Match() == acl.MatchBoth}
	for _, rule := range s.Rules.All() {
		w.Rules = append(w.Rules, Extent{Rule: string(rule.Name()), Read: reachOf(s, 0, rule.Prefix, user), Write: reachOf(s, 1, rule.Prefix, user)})
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
