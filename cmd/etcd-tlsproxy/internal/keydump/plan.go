package keydump

import (
	"context"
	"fmt"
	"strings"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/acl"
)

// Action is what loading does about an entry.
type Action string

const (
	Create    Action = "create"
	Update    Action = "update"
	Unchanged Action = "unchanged"
	// Conflict leaves alone what is there: it is newer, or something else.
	Conflict Action = "conflict"
	// Expired leaves out what would have ended by now.
	Expired Action = "expired"
)

// Step is an entry and what is to be done about it.
type Step struct {
	Entry
	Action Action
	// Reason tells why, if the action does not.
	Reason string
	// was is the modifiedIndex of what an update replaces.
	replaces uint64
}

// Plan is what loading a dump would do to a cluster as it was found.
type Plan struct {
	ClusterID string
	Index     uint64
	Steps     []Step
	// Compared tells whether indexes of the dump and the cluster compare. If not,
	// nobody knows which of two values is the newer one.
	Compared bool
}

// Plan reads the cluster and decides about each entry. With overwrite, what differs
// is updated even if it may be newer; a directory never takes the place of a key, nor
// a key that of a directory.
func (d *Dump) Plan(ctx context.Context, etcd client.Client, overwrite bool, now time.Time) (*Plan, error) {
	found, err := read(ctx, etcd, d.Prefix)
	if err != nil {
		return nil, err
	}
	there := make(nodes)
	there.add(found.node)
	p := &Plan{ClusterID: found.clusterID, Index: found.index}
	// An index below the dump's is one that went backwards: the cluster was put back.
	p.Compared = found.clusterID == d.ClusterID && found.index >= d.Index
	blocked := make(map[acl.Key]Step) // directories that nothing can be made in
	for _, e := range d.Tree {
		s := Step{Entry: e}
		if above, ok := blockedBy(blocked, e.Key); ok {
			s.Action, s.Reason = above.Action, fmt.Sprintf("so is %v above it", above.Key)
			p.Steps = append(p.Steps, s)
			continue
		}
		if hidden(d.Prefix, e.Key) && there[e.Key] == nil {
			alone, err := read(ctx, etcd, e.Key)
			if err != nil {
				return nil, err
			}
			there.add(alone.node)
		}
		is := there[e.Key]
		p.decide(&s, is, overwrite, now)
		if s.Dir && (s.Action == Expired || s.Action == Conflict && !is.Dir) {
			blocked[e.Key] = s
		}
		p.Steps = append(p.Steps, s)
	}
	return p, nil
}

// nodes are what is in etcd.
type nodes map[acl.Key]*node

func (all nodes) add(n *node) {
	if n == nil {
		return
	}
	all[acl.Key(n.Key.decoded)] = n
	for _, child := range n.Nodes {
		all.add(child)
	}
}

func blockedBy(blocked map[acl.Key]Step, key acl.Key) (Step, bool) {
	for key != acl.Root {
		key = parentOf(key)
		if s, ok := blocked[key]; ok {
			return s, true
		}
	}
	return Step{}, false
}

// hidden reports whether etcd leaves a key out of what it lists of a prefix.
func hidden(prefix, key acl.Key) bool {
	return strings.Contains(string(key)[len(strings.TrimSuffix(string(prefix), "/")):], "/_")
}

// decide fills in a step, of which the cluster has what is given.
func (p *Plan) decide(s *Step, is *node, overwrite bool, now time.Time) {
	differs := s.difference(is)
	// What the cluster has from before the dump is just what the dump has. If not, it
	// is another cluster, whatever its id says: one that was built anew of the same
	// members has the same.
	isDumped := p.Compared && is != nil && s.ModifiedIndex != 0 && s.ModifiedIndex == is.ModifiedIndex && s.CreatedIndex == is.CreatedIndex
	if differs == "" && isDumped && s.Expiration != nil && !s.Expiration.Equal(*is.Expiration) {
		differs = "it expires at another time" // the dump was changed by hand
	}
	switch {
	case s.Expiration != nil && !s.Expiration.After(now):
		s.Action, s.Reason = Expired, "at "+s.Expiration.Format(time.RFC3339)
	case is == nil:
		s.Action = Create
	case differs == "":
		s.Action = Unchanged
	case s.Dir || is.Dir:
		// etcd compares and swaps no directories.
		s.Action, s.Reason = Conflict, differs
	case isDumped, overwrite:
		s.Action, s.Reason, s.replaces = Update, differs, is.ModifiedIndex
	case p.Compared && is.ModifiedIndex > s.ModifiedIndex:
		s.Action, s.Reason = Conflict, fmt.Sprintf("%s, and was changed after the dump: its index is %d, the dump's is %d", differs, is.ModifiedIndex, s.ModifiedIndex)
	default:
		s.Action, s.Reason = Conflict, differs+", and which is newer is not known: the dump's indexes are not of this cluster's life"
	}
}

// difference tells how what is there differs from what the entry says. Of keys that
// expire, another time is none: whoever owns a lock refreshes it.
func (s *Step) difference(is *node) string {
	switch {
	case is == nil:
		return "it is not there"
	case s.Dir && !is.Dir:
		return "it is a key here"
	case !s.Dir && is.Dir:
		return "it is a directory here"
	case !s.Dir && (is.Value.replaced || is.Value.decoded != *s.Value):
		return "it has another value"
	case s.Expiration == nil && is.Expiration != nil:
		return "it expires here"
	case s.Expiration != nil && is.Expiration == nil:
		return "it does not expire here"
	}
	return ""
}
