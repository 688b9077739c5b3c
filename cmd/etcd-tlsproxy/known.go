package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// checkKnown finds users that rules name and nobody can be: a name that is
// misspelled opens nothing, but shows only when its owner is refused.
func (s *loaded) checkKnown(ps *problems) {
	check := func(users []string, key ...string) {
		for _, user := range users {
			if s.snapshot.Users.Has(user) {
				continue
			}
			if s.snapshot.Certs.HasClientCA() {
				name, line := ps.doc.locate(key...)
				s.warnings = append(s.warnings, fmt.Sprintf("line %d: %s: user %q is in no htpasswd file; only a client certificate can be this user's", line, name, user))
				continue
			}
			ps.add(fmt.Sprintf("user %q is in no htpasswd file", user), "is the name spelled right? add the user with htpasswd, or remove the name", key...)
		}
	}
	for _, prefix := range slices.Sorted(maps.Keys(s.config.ACLs)) {
		entry := s.config.ACLs[prefix]
		users := slices.Concat(entry.Read, entry.Write)
		slices.Sort(users)
		check(slices.Compact(users), "acls", prefix)
	}
	for _, surface := range slices.Sorted(maps.Keys(s.config.Surfaces)) {
		check(s.config.Surfaces[surface], "surfaces", surface)
	}
}

// needsRestart refuses changes that a running service cannot take over. Taking
// over the rest would leave a state that no file describes.
func needsRestart(doc *document, before, after *Config) error {
	ps := &problems{doc: doc}
	changed := func(differs bool, key ...string) {
		if differs {
			ps.add("it has changed, which takes a restart", "restart the service, or write the old value back", key...)
		}
	}
	a, b := &before.Limits, &after.Limits
	changed(before.Listen != after.Listen, "listen")
	changed(before.Admin != after.Admin, "admin")
	changed(before.Log != after.Log, "log")
	changed(a.HeaderTimeout != b.HeaderTimeout, "limits", "header_timeout")
	changed(a.IdleTimeout != b.IdleTimeout, "limits", "idle_timeout")
	changed(a.HandshakeTimeout != b.HandshakeTimeout, "limits", "handshake_timeout")
	changed(a.Drain != b.Drain, "limits", "drain")
	changed(a.HeadBytes != b.HeadBytes, "limits", "head_bytes")
	changed(a.BodyMemory != b.BodyMemory, "limits", "body_memory")
	changed(a.Memory != b.Memory, "limits", "memory")
	changed(a.Connections != b.Connections, "limits", "connections")
	changed(a.AddressConnections != b.AddressConnections, "limits", "address_connections")
	changed(a.AddressHandshakes != b.AddressHandshakes, "limits", "address_handshakes")
	changed(a.Watches != b.Watches, "limits", "watches")
	changed(a.UserWatches != b.UserWatches, "limits", "user_watches")
	changed(a.LoginBurst != b.LoginBurst, "limits", "login_burst")
	changed(a.LoginEvery != b.LoginEvery, "limits", "login_every")
	changed(a.HashWorkers != b.HashWorkers, "limits", "hash_workers")
	return ps.err()
}

// addAll notes each of some joined errors, which name their own files.
func (ps *problems) addAll(err error, key ...string) {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		ps.add(err.Error(), "", key...)
		return
	}
	for _, one := range joined.Unwrap() {
		ps.add(one.Error(), "", key...)
	}
}
