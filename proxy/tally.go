package proxy

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"etcd-tlsproxy/acl"
)

// tally counts what the gate decided about one rule or one user, by [acl.Access].
type tally struct {
	allowed, refused [2]atomic.Uint64
}

func (t *tally) count(op *Operation, refusal *Refusal) {
	if refusal == nil {
		t.allowed[op.Access].Add(1)
	} else {
		t.refused[op.Access].Add(1)
	}
}

// tallies are those of one snapshot. Its maps do not change, so that requests
// count without a lock; what goes on under the next snapshot is taken over by it.
type tallies struct {
	rules     *acl.Rules
	users     *acl.Users
	byRule    map[acl.Key]ruleTally
	byUser    map[string]*tally // those with a password
	byName    *names            // those with a certificate
	anonymous *tally            // not asked who they are, or not known
}

type ruleTally struct {
	rule *acl.Rule
	*tally
}

// tallied is what to count on while s is in force, after old: the same rules and
// users go on with what they have.
func tallied(s *Snapshot, old *tallies) *tallies {
	if old == nil {
		old = &tallies{byName: &names{}, anonymous: &tally{}}
	}
	if old.rules == s.Rules && old.users == s.Users {
		return old
	}
	ts := &tallies{rules: s.Rules, users: s.Users, byRule: old.byRule, byUser: old.byUser, byName: old.byName, anonymous: old.anonymous}
	if old.rules != s.Rules {
		ts.byRule = make(map[acl.Key]ruleTally)
		for _, rule := range s.Rules.All() {
			same := old.byRule[rule.Prefix]
			if same.tally == nil || !same.rule.Equal(rule) {
				same.tally = &tally{}
			}
			ts.byRule[rule.Prefix] = ruleTally{rule, same.tally}
		}
	}
	if old.users != s.Users {
		ts.byUser = make(map[string]*tally, s.Users.Len())
		for _, name := range s.Users.Names() {
			ts.byUser[name] = old.byUser[name]
			if ts.byUser[name] == nil {
				ts.byUser[name] = &tally{}
			}
		}
	}
	return ts
}

// count takes note of a decision. It takes no lock but for a name that comes for
// the first time, and allocates nothing.
func (ts *tallies) count(op *Operation, refusal *Refusal) {
	if ts == nil { // a gate without a server
		return
	}
	if on := ts.byRule[op.Rule]; op.Rule != "" && on.tally != nil {
		on.count(op, refusal)
	}
	ts.of(&op.Identity).count(op, refusal)
}

// of is the tally of a client whose identity was verified.
func (ts *tallies) of(who *Identity) *tally {
	switch who.Known {
	case ByPassword:
		if t := ts.byUser[who.Name]; t != nil {
			return t
		}
	case ByCertificate:
		return ts.byName.of(who.Name)
	}
	return ts.anonymous
}

// names are the tallies of users known by certificates. No file lists them, so their
// number is bounded: a CA may have signed millions.
type names struct {
	mu     sync.Mutex // to add one
	known  atomic.Pointer[map[string]*tally]
	others tally // of those who came when there was no more room
}

const mostNames = 500

func (ns *names) all() map[string]*tally {
	if known := ns.known.Load(); known != nil {
		return *known
	}
	return nil
}

func (ns *names) of(name string) *tally {
	known := ns.all()
	if t := known[name]; t != nil {
		return t
	}
	if len(known) >= mostNames {
		return &ns.others
	}
	return ns.add(name)
}

func (ns *names) add(name string) *tally {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	known := ns.all()
	if t := known[name]; t != nil {
		return t
	}
	if len(known) >= mostNames {
		return &ns.others
	}
	more := make(map[string]*tally, len(known)+1)
	maps.Copy(more, known)
	t := &tally{}
	more[strings.Clone(name)] = t
	ns.known.Store(&more)
	return t
}
