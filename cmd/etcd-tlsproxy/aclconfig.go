package main

import (
	"fmt"
	"maps"
	"slices"

	"etcd-tlsproxy/acl"
)

// ACL is one entry of the table of prefixes.
type ACL struct {
	// Read and Write are the users who may; an empty list is everyone.
	Read  []string `toml:"read"`
	Write []string `toml:"write"`
	// ReadGiven is set if the entry says who may read; else everyone may, unless
	// that would open what lies below a restricted prefix.
	ReadGiven bool `toml:"-"`
}

const aclForms = `write ["user", ...] for who may write, or { read = [...], write = [...] }`

// UnmarshalTOML reads both forms of an entry.
func (a *ACL) UnmarshalTOML(value any) error {
	switch value := value.(type) {
	case []any:
		return readUsers(&a.Write, value)
	case map[string]any:
		for key, list := range value {
			users, ok := list.([]any)
			switch {
			case key != "read" && key != "write":
				return problem{fmt.Sprintf("there is no key %q in a rule", key), aclForms}
			case !ok:
				return problem{key + " is not a list of users", aclForms}
			case key == "read":
				a.ReadGiven = true
				if err := readUsers(&a.Read, users); err != nil {
					return err
				}
			default:
				if err := readUsers(&a.Write, users); err != nil {
					return err
				}
			}
		}
		if _, given := value["write"]; !given {
			return problem{"it does not say who may write", "add write = [...]; an empty list is everyone"}
		}
		return nil
	}
	return problem{"it is not a list of users", aclForms}
}

func readUsers(into *[]string, values []any) error {
	*into = make([]string, 0, len(values))
	for _, value := range values {
		user, ok := value.(string)
		if !ok {
			return problem{"a user is not a string", aclForms}
		}
		if slices.Contains(*into, user) {
			return problem{fmt.Sprintf("user %q is in one list twice", user), "remove one; was another user meant?"}
		}
		*into = append(*into, user)
	}
	return nil
}

// groupOf is the group that a list stands for.
func groupOf(users []string) acl.Group {
	if len(users) == 0 {
		return acl.Everyone()
	}
	return acl.Only(users...)
}

// rules checks the table and makes rules of it.
func (c *Config) rules(ps *problems) []acl.Rule {
	var rules []acl.Rule
	for _, prefix := range slices.Sorted(maps.Keys(c.ACLs)) {
		entry := c.ACLs[prefix]
		key, err := acl.NewKey(prefix)
		if err != nil {
			ps.add("the prefix is refused: "+err.(*acl.PathError).Reason, `a prefix is "/" or begins with a slash and ends without one, as in "/conftool"; it is not encoded`, "acls", prefix)
			continue
		}
		c.checkUsers(ps, entry.Read, "acls", prefix)
		c.checkUsers(ps, entry.Write, "acls", prefix)
		rule := acl.Rule{Prefix: key, Read: groupOf(entry.Read), Write: groupOf(entry.Write)}
		if outside := c.writesUnread(rule); outside != "" {
			ps.add(outside+" may write but not read", "etcd answers a write with the value before it; add them to read", "acls", prefix)
		}
		rules = append(rules, rule)
	}
	c.checkReads(ps, rules)
	return rules
}

// writesUnread names who could write under a rule without the right to read.
func (c *Config) writesUnread(rule acl.Rule) string {
	if rule.Read.IsEveryone() {
		return ""
	}
	if rule.Write.IsEveryone() {
		return "everyone"
	}
	for _, user := range rule.Write.Names() {
		if !rule.Read.Has(user) {
			return fmt.Sprintf("user %q", user)
		}
	}
	return ""
}

// checkReads refuses rules that would open reads below a restricted prefix
// without saying so: in the short form nobody has thought of reading.
func (c *Config) checkReads(ps *problems, rules []acl.Rule) {
	for _, rule := range rules {
		if c.ACLs[string(rule.Prefix)].ReadGiven {
			continue
		}
		for _, above := range rules {
			if above.Prefix != rule.Prefix && above.Prefix.Covers(rule.Prefix) && !above.Read.IsEveryone() {
				ps.add(fmt.Sprintf("it would open reads below %q, which restricts them", above.Prefix),
					"say who may read: { read = [...], write = [...] }", "acls", string(rule.Prefix))
				break
			}
		}
	}
}

// checkUsers refuses names that no user can have.
func (c *Config) checkUsers(ps *problems, users []string, key ...string) {
	for _, user := range users {
		// A URI in a certificate is a name with colons.
		if c.TLS.ClientName == "uri" && acl.CheckName(withoutColons(user)) == nil {
			continue
		}
		if err := acl.CheckName(user); err != nil {
			ps.add(err.Error(), "no user could have this name", key...)
		}
	}
}

func withoutColons(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c == ':' {
			b[i] = '-'
		}
	}
	return string(b)
}
