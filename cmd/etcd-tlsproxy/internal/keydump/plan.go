package keydump

import (
	"context"
	"fmt"
	"strings"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/acl"
)

// Action is what a load does with an entry.
type Action string

const (
	Create    Action = "create"
	Update    Action = "update"
	Unchanged Action = "unchanged"
	// Conflict keeps the key of the cluster, because it is newer or of another kind.
	Conflict Action = "conflict"
	// Expired skips an entry whose expiration is past.
	Expired Action = "expired"
)

// Step is an entry and its action.
type Step struct {
	Entry
	Action Action
	// Reason explains the action where it needs an explanation.
	Reason string
	// replaces is the modifiedIndex of the node that an update replaces.
	replaces uint64
}

// Plan lists what loading a dump does to the cluster in its present state.
type Plan struct {
	ClusterID string
	Index     uint64
	Steps     []Step
	// Compared is true if the indexes of the dump and of the cluster can be compared.
	// Otherwise it is unknown which of two values is newer.
	Compared bool
}

// Plan reads the cluster and decides about each entry. With overwrite, keys that differ
// are updated even if they may be newer. A directory never replaces a key, nor a key a
// directory.
func (d *Dump) Plan(ctx context.Context, etcd client.Client, overwrite bool, now time.Time) (*Plan, error) {
	found, err := read(ctx, etcd, d.Prefix)
	if err != nil {
		return nil, err
	}
	there := make(nodes)
	there.add(found.node)
	p := &Plan{ClusterID: found.clusterID, Index: found.index}
	// An index below the dump's means that the cluster was restored from a backup.
	p.Compared = found.clusterID == d.ClusterID && found.index >= d.Index
	blocked := make(map[acl.Key]Step) // directories in which nothing can be created
	for _, e := range d.Tree {
		s := Step{Entry: e}
		if above, ok := blockedBy(blocked, e.Key); ok {
			s.Action, s.Reason = above.Action, fmt.Sprintf("because of its directory %v", above.Key)
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

// nodes are the nodes of the cluster.
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

// decide sets the action of a step. is is the node of the cluster, or nil.
func (p *Plan) decide(s *Step, is *node, overwrite bool, now time.Time) {
	differs := s.difference(is)
	// A node with the dump's indexes is the node that was dumped. The id of the cluster
	// alone does not prove that: a cluster that is rebuilt from the same members has the
	// same id.
	isDumped := p.Compared && is != nil && s.ModifiedIndex != 0 && s.ModifiedIndex == is.ModifiedIndex && s.CreatedIndex == is.CreatedIndex
	if differs == "" && isDumped && s.Expiration != nil && !s.Expiration.Equal(*is.Expiration) {
		differs = "it expires at another time" // someone edited the dump
	}
	switch {
	case s.Expiration != nil && !s.Expiration.After(now):
		s.Action, s.Reason = Expired, "at "+s.Expiration.Format(time.RFC3339)
	case is == nil:
		s.Action = Create
	case differs == "":
		s.Action = Unchanged
	case s.Dir || is.Dir:
		// etcd has no compare-and-swap for directories.
		s.Action, s.Reason = Conflict, differs
	case isDumped, overwrite:
		s.Action, s.Reason, s.replaces = Update, differs, is.ModifiedIndex
	case p.Compared && is.ModifiedIndex > s.ModifiedIndex:
		s.Action, s.Reason = Conflict, fmt.Sprintf("%s, and it was changed after the dump: its index is %d, the dump's is %d", differs, is.ModifiedIndex, s.ModifiedIndex)
	default:
		s.Action, s.Reason = Conflict, differs+", and it is unknown which is newer: the dump is from another cluster, or from before a recovery"
	}
}

// difference says how a node of the cluster differs from the entry. Another expiration is
// not a difference, because the owner of a lock refreshes it.
func (s *Step) difference(is *node) string {
	switch {
	case is == nil:
		return "it does not exist"
	case s.Dir && !is.Dir:
		return "it is a key in the cluster"
	case !s.Dir && is.Dir:
		return "it is a directory in the cluster"
	case !s.Dir && (is.Value.replaced || is.Value.decoded != *s.Value):
		return "it has another value"
	case s.Expiration == nil && is.Expiration != nil:
		return "it expires in the cluster"
	case s.Expiration != nil && is.Expiration == nil:
		return "it does not expire in the cluster"
	}
	return ""
}
