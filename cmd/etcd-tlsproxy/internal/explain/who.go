package explain

import (
	"fmt"
	"net/http"
	"strings"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// Group is some users, or everyone.
type Group struct {
	Everyone bool     `json:"everyone,omitempty"`
	Users    []string `json:"users,omitzero"`
}

func (g Group) String() string {
	switch {
	case g.Everyone:
		return "everyone"
	case len(g.Users) == 0:
		return "no one"
	}
	return strings.Join(acl.ShownNames(g.Users), ", ")
}

func groupOf(g acl.Group) Group { return Group{Everyone: g.IsEveryone(), Users: g.Names()} }

// Who says who can read and write a key.
type Who struct {
	Key   string `json:"key"`
	Read  Right  `json:"read"`
	Write Right  `json:"write"`
}

// Right says who can read or write a key, and why.
type Right struct {
	Group
	// Rule is the prefix of the rule that governs the key. It is empty if there is none.
	Rule string `json:"rule"`
	// Narrowing are the prefixes of other rules that exclude users from the group, because
	// the operation reaches keys that they protect.
	Narrowing []string `json:"narrowing,omitempty"`
	// Refused is the reason if the access is refused regardless of the user.
	Refused string `json:"refused,omitempty"`
}

// accesses lists the two kinds of operations, each with a method that stands for it. The
// gate treats all methods of a kind alike.
var accesses = [...]struct {
	access acl.Access
	method string
}{{acl.Read, http.MethodGet}, {acl.Write, http.MethodPut}}

// target returns the request target of a key.
func target(key acl.Key) string {
	if key == acl.Root {
		return "/v2/keys"
	}
	return "/v2/keys" + key.Escaped()
}

// ParseKey parses a key in the form of a rule. A trailing slash and the prefix of the API
// are accepted.
func ParseKey(text string) (acl.Key, error) {
	text = strings.TrimPrefix(text, "/v2/keys")
	if len(text) > 1 {
		text = strings.TrimSuffix(text, "/")
	}
	if text == "" {
		return acl.Root, nil
	}
	key, err := acl.NewKey(text)
	if err != nil {
		return "", fmt.Errorf("key %q: %w (hint: write it like in rules, without percent-encoding)", text, err)
	}
	return key, nil
}

// WhoMay returns who can read and write a key.
func WhoMay(s *gate.Policy, key acl.Key) *Who {
	return &Who{Key: string(key), Read: rightOf(s, 0, key), Write: rightOf(s, 1, key)}
}

func rightOf(s *gate.Policy, kind int, key acl.Key) Right {
	a := accesses[kind]
	group, refused := allowedUsers(s, a.method, target(key))
	right := Right{Group: group, Refused: refused, Rule: governing(s, key)}
	if refused == "" {
		for _, rule := range s.Rules.Narrowing(a.access, key) {
			right.Narrowing = append(right.Narrowing, string(rule.Prefix))
		}
	}
	return right
}

// allowedUsers returns the users whom an operation is allowed, or the reason why it is
// refused regardless of the user.
func allowedUsers(s *gate.Policy, method, target string) (group Group, refused string) {
	e := s.Explain(method, target, "")
	if !e.Allowed && e.Status != http.StatusUnauthorized {
		return Group{}, e.Cause
	}
	return Group{Everyone: e.Everyone, Users: e.May}, ""
}

// governing returns the prefix of the rule that governs a key, or "" if no rule covers it.
func governing(s *gate.Policy, key acl.Key) string {
	return string(s.Rules.Governing(key).Name())
}
