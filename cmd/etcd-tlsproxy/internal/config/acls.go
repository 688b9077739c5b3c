package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"etcd-tlsproxy/acl"
)

// ACL is one entry of the table of prefixes.
type ACL struct {
	// Read and Write are the users who may read and write. An empty list means everyone.
	Read  []string `toml:"read"`
	Write []string `toml:"write"`
	// ReadGiven reports whether the entry has a read list. Without one reads are open,
	// unless that would open keys below a restricted prefix.
	ReadGiven bool `toml:"-"`
}

const aclForms = `write ["user", ...] for the users who may write, or { read = [...], write = [...] }`

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
				return problem{fmt.Sprintf("a rule has no key %q", key), aclForms}
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
			return problem{"the rule has no list of users who may write", "add write = [...]; an empty list lets everyone write"}
		}
		return nil
	}
	return problem{"the rule is not a list of users", aclForms}
}

func readUsers(into *[]string, values []any) error {
	*into = make([]string, 0, len(values))
	for _, value := range values {
		user, ok := value.(string)
		if !ok {
			return problem{"a user is not a string", aclForms}
		}
		if slices.Contains(*into, user) {
			return problem{fmt.Sprintf("user %q is listed twice", user), "remove one of them, or correct the name"}
		}
		*into = append(*into, user)
	}
	return nil
}

// groupOf returns the group that a list stands for.
func groupOf(users []string) acl.Group {
	if len(users) == 0 {
		return acl.Everyone()
	}
	return acl.Only(users...)
}

// rules checks the table and returns its rules.
func (c *Config) rules(errs *Errors) []acl.Rule {
	var rules []acl.Rule
	for _, prefix := range slices.Sorted(maps.Keys(c.ACLs)) {
		entry := c.ACLs[prefix]
		key, err := acl.NewKey(prefix)
		if err != nil {
			reason := err.(*acl.PathError).Reason //nolint:errorlint // NewKey documents this type
			errs.Add("not a valid prefix: "+reason,
				`write "/", or a path that begins with a slash and does not end with one, as in "/conftool"; nothing in it is percent-encoded`, "acls", prefix)
			continue
		}
		c.checkUsers(errs, entry.Read, "acls", prefix)
		c.checkUsers(errs, entry.Write, "acls", prefix)
		rule := acl.Rule{Prefix: key, Read: groupOf(entry.Read), Write: groupOf(entry.Write)}
		if writer := writerWithoutRead(rule); writer != "" {
			errs.Add(writer+" may write but not read", "add the users to the read list, because etcd's response to a write contains the previous value", "acls", prefix)
		}
		rules = append(rules, rule)
	}
	c.checkReads(errs, rules)
	return rules
}

// writerWithoutRead names a user who could write under a rule but not read, or
// returns "".
func writerWithoutRead(rule acl.Rule) string {
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

// checkReads refuses short forms that would open reads below a restricted prefix: the
// author of a short form may not have considered reads.
func (c *Config) checkReads(errs *Errors, rules []acl.Rule) {
	for _, rule := range rules {
		if c.ACLs[string(rule.Prefix)].ReadGiven {
			continue
		}
		for _, above := range rules {
			if above.Prefix != rule.Prefix && above.Prefix.Covers(rule.Prefix) && !above.Read.IsEveryone() {
				errs.Add(fmt.Sprintf("the rule would let everyone read keys whose reads the rule of %q restricts", above.Prefix),
					"add a list of users who may read: { read = [...], write = [...] }", "acls", string(rule.Prefix))
				break
			}
		}
	}
}

// checkUsers refuses names that no user can have.
func (c *Config) checkUsers(errs *Errors, users []string, key ...string) {
	for _, user := range users {
		// A URI in a certificate is a name with colons.
		if c.TLS.ClientName == "uri" && acl.CheckName(strings.ReplaceAll(user, ":", "-")) == nil {
			continue
		}
		if err := acl.CheckName(user); err != nil {
			errs.Add(err.Error(), "correct the name, or remove it", key...)
		}
	}
}
