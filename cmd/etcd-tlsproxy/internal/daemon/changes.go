package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/proxy/gate"
)

// changes says what differs between two states, for the logs. Passwords and hashes are not
// part of it.
func changes(old, next *loaded) []string {
	a, b := old.snapshot, next.snapshot
	list := []string{}
	add := func(what string, names []string) {
		if len(names) > 0 {
			list = append(list, what+": "+bounded(names))
		}
	}
	if a.Certs != b.Certs {
		add("certificates", certificatesOf(b.Certs))
	}
	if a.Users != b.Users || a.Waiting != b.Waiting {
		users := compare(usersOf(a.Users), usersOf(b.Users), func(x, y [16]byte) bool { return x == y })
		waited, wait := waitingOf(old), waitingOf(next)
		add("users refused until the mistake is mended", wait)
		users.removed = without(users.removed, wait)
		stillNew := without(users.added, waited)
		add("users not refused any more", without(users.added, stillNew))
		users.added = stillNew
		users.add("users", add)
	}
	if a.Rules != b.Rules {
		before, after := rulesOf(a.Rules), rulesOf(b.Rules)
		rules := compare(before, after, (*acl.Rule).Equal)
		rules.describe(before, after)
		rules.add("rules", add)
	}
	surfaces := compare(surfacesOf(a.Surfaces), surfacesOf(b.Surfaces), slices.Equal[[]string])
	surfaces.add("surfaces", add)
	add("settings", config.Changed(old.config, next.config))
	if next.config.Upstream.SRV != "" && !slices.Equal(old.endpoints, next.endpoints) { // without a domain they are settings
		add("endpoints", []string{fmt.Sprintf("%s instead of %s", bounded(endpointsOf(next)), bounded(endpointsOf(old)))})
	}
	add("contents of files", next.origin.changed(&old.origin))
	return list
}

// difference lists names by what happened to them.
type difference struct{ added, removed, changed []string }

func compare[V any](old, next map[string]V, equal func(V, V) bool) (d difference) {
	for _, name := range slices.Sorted(maps.Keys(next)) {
		switch before, known := old[name]; {
		case !known:
			d.added = append(d.added, name)
		case !equal(before, next[name]):
			d.changed = append(d.changed, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, still := next[name]; !still {
			d.removed = append(d.removed, name)
		}
	}
	return d
}

func (d *difference) add(what string, add func(string, []string)) {
	add(what+" added", d.added)
	add(what+" removed", d.removed)
	add(what+" changed", d.changed)
}

// maxNames bounds the names in one line of the log.
const maxNames = 20

func bounded(names []string) string {
	if more := len(names) - maxNames; more > 0 {
		return strings.Join(names[:maxNames], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

func certificatesOf(g *certs.Generation) (names []string) {
	for _, c := range g.Certificates() {
		names = append(names, fmt.Sprintf("%s %s until %s", c.Role, c.Subject, c.NotAfter.UTC().Format(time.RFC3339)))
	}
	return names
}

func usersOf(users *acl.Users) map[string][16]byte {
	all := make(map[string][16]byte, users.Len())
	for _, name := range users.Names() {
		all[name], _ = users.Fingerprint(name)
	}
	return all
}

// waitingOf returns the users of the files whose passwords are not in force.
func waitingOf(s *loaded) []string {
	if s.snapshot.Waiting == nil {
		return []string{}
	}
	return s.snapshot.Waiting.Names()
}

// without returns the names that are not among others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

func rulesOf(rules *acl.Rules) map[string]*acl.Rule {
	all := make(map[string]*acl.Rule)
	for _, rule := range rules.All() {
		if !rule.Implied() {
			all[string(rule.Prefix)] = rule
		}
	}
	return all
}

// describe adds to the prefixes of rules whom the rules admit, so that the log alone says
// what a change meant and what has to be written to take it back.
func (d *difference) describe(before, after map[string]*acl.Rule) {
	for i, prefix := range d.added {
		d.added[i] += admits(after[prefix])
	}
	for i, prefix := range d.removed {
		d.removed[i] += admits(before[prefix])
	}
	for i, prefix := range d.changed {
		var groups []string
		for _, access := range []acl.Access{acl.Read, acl.Write} {
			was, is := members(before[prefix].Group(access)), members(after[prefix].Group(access))
			if was != is {
				groups = append(groups, fmt.Sprintf("%v by %s instead of %s", access, is, was))
			}
		}
		d.changed[i] += " (" + strings.Join(groups, "; ") + ")"
	}
}

func admits(rule *acl.Rule) string {
	return fmt.Sprintf(" (read by %s; write by %s)", members(rule.Read), members(rule.Write))
}

// members names the users of a group.
func members(group acl.Group) string {
	switch names := group.Names(); {
	case group.IsEveryone():
		return "everyone"
	case len(names) == 0:
		return "nobody"
	default:
		return bounded(acl.ShownNames(names))
	}
}

// maxRules bounds the rules in the line about a start.
const maxRules = 100

// tableOf describes what decides about requests, so that the logs of two processes can be
// compared: a process knows nothing of the one before it. The digest covers the settings
// whole, also what the bounded list of rules leaves out.
func tableOf(s *loaded) (digest string, rules []string) {
	p := &s.snapshot.Policy
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %t\n", s.config.Match, p.ReadOnly)
	all := p.Rules.All()
	for _, rule := range all {
		fmt.Fprintf(hash, "rule %q %t %q %t %q\n", rule.Prefix,
			rule.Read.IsEveryone(), rule.Read.Names(), rule.Write.IsEveryone(), rule.Write.Names())
	}
	surfaces := surfacesOf(p.Surfaces)
	for _, name := range slices.Sorted(maps.Keys(surfaces)) {
		fmt.Fprintf(hash, "surface %q %q\n", name, surfaces[name])
	}
	all = slices.DeleteFunc(all, (*acl.Rule).Implied)
	for _, rule := range all[:min(maxRules, len(all))] {
		rules = append(rules, string(rule.Prefix)+admits(rule))
	}
	if more := len(all) - maxRules; more > 0 {
		rules = append(rules, fmt.Sprintf("and %d more", more))
	}
	return hex.EncodeToString(hash.Sum(nil)), rules
}

func surfacesOf(surfaces map[gate.Surface]acl.Group) map[string][]string {
	all := make(map[string][]string, len(surfaces))
	for surface, group := range surfaces {
		all[surface.String()] = group.Names()
	}
	return all
}

func endpointsOf(s *loaded) (names []string) {
	for _, e := range s.endpoints {
		names = append(names, e.String())
	}
	return names
}
