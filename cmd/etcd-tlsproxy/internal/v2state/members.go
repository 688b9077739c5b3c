package v2state

import (
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strconv"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

// The keys of what etcd records about itself.
const (
	members0    = "/0"
	membersKey  = members0 + "/members"
	removedKey  = members0 + "/removed_members"
	versionKey  = members0 + "/version"
	raftKey     = "raftAttributes"
	maxLearners = 1
)

// The kinds of changes.
const (
	addMember = iota
	removeMember
	updateMember
	addLearner
)

// attributes matches the key of what a member says about itself.
var attributes = regexp.MustCompile(`^/0/members/([[:xdigit:]]{1,16})/attributes$`)

func attributesOf(key string) (member string, found bool) {
	if m := attributes.FindStringSubmatch(key); m != nil {
		return m[1], true
	}
	return "", false
}

// setAttributes records what a member says about itself, unless it was removed.
func (a *applier) setAttributes(member, value string) error {
	if !a.exists(path.Join(membersKey, member)) {
		return nil
	}
	return a.set(path.Join(membersKey, member, "attributes"), value)
}

func (a *applier) exists(key string) bool {
	return !a.tree.Holds(v2store.Fact{Kind: v2store.Absent, Key: key})
}

// raftAttributes are what the cluster knows about a member.
type raftAttributes struct {
	PeerURLs  []string `json:"peerURLs"`
	IsLearner bool     `json:"isLearner,omitempty"`
}

// change applies a change of the membership, unless etcd has refused it: changes that race with each
// other are in the log too.
func (a *applier) change(c *change) error {
	member := strconv.FormatUint(c.member, 16)
	key := path.Join(membersKey, member)
	var context struct {
		raftAttributes
		IsPromote bool `json:"isPromote"`
	}
	if c.kind != removeMember && json.Unmarshal(c.context, &context) != nil {
		return errContext
	}
	exists := a.exists(key)
	if a.exists(path.Join(removedKey, member)) {
		return nil
	}
	switch {
	case c.kind == removeMember && exists:
		if err := a.write(&v2store.Operation{Action: v2store.Delete, Key: key, Dir: true, Recursive: true}); err != nil {
			return err
		}
		return a.write(&v2store.Operation{Action: v2store.Create, Key: path.Join(removedKey, member)})
	case c.kind == updateMember && exists && !a.taken(member, context.PeerURLs):
		return a.record(v2store.Update, key, raftAttributes{context.PeerURLs, a.member(member).IsLearner})
	case c.kind != addMember && c.kind != addLearner:
	case context.IsPromote && exists && a.member(member).IsLearner:
		return a.record(v2store.Update, key, raftAttributes{PeerURLs: a.member(member).PeerURLs})
	case !context.IsPromote && !exists && !a.taken(member, context.PeerURLs) && !(context.IsLearner && a.learners() >= maxLearners):
		return a.record(v2store.Create, key, context.raftAttributes)
	}
	return nil
}

// record records what the cluster knows about a member.
func (a *applier) record(action v2store.Action, key string, r raftAttributes) error {
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return a.write(&v2store.Operation{Action: action, Key: path.Join(key, raftKey), Value: string(value)})
}

// members returns all members by their id.
func (a *applier) members() map[string]raftAttributes {
	all := map[string]raftAttributes{}
	e, err := a.tree.Get(&v2store.Operation{Key: membersKey, Recursive: true}, time.Unix(0, 0))
	if err != nil {
		return all
	}
	for _, member := range e.Node.Nodes {
		for _, n := range member.Nodes {
			var r raftAttributes
			if path.Base(n.Key) == raftKey && n.Value != nil && json.Unmarshal([]byte(*n.Value), &r) == nil {
				all[path.Base(member.Key)] = r
			}
		}
	}
	return all
}

func (a *applier) member(id string) raftAttributes { return a.members()[id] }

// taken reports whether another member has one of the URLs.
func (a *applier) taken(member string, urls []string) bool {
	for id, r := range a.members() {
		if id != member && slices.ContainsFunc(r.PeerURLs, func(url string) bool { return slices.Contains(urls, url) }) {
			return true
		}
	}
	return false
}

func (a *applier) learners() (n int) {
	for _, r := range a.members() {
		if r.IsLearner {
			n++
		}
	}
	return n
}
