package exact

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

// store answers requests as they come, and has the history of that. It is exact.
type store struct {
	*testing.T
	tree  Tree
	index uint64
	clock time.Duration
	h     *History
}

func newStore(t *testing.T) *store {
	return &store{T: t, tree: Tree{}, index: 100, h: &History{After: 100, Tree: Tree{}, Early: time.Second,
		Registers: []string{"/a/r"}, Directories: []string{"/a/d"}}}
}

// do carries a request out, and records the operation, which the caller may falsify.
func (s *store) do(r Request) *Op {
	s.clock += 2
	o := Op{Request: r, Proxy: 1, Start: s.clock, End: s.clock + 1, Outcome: Answered, Index: s.index}
	if r.InOrder {
		r.Key = fmt.Sprintf("%s/%020d", r.Key, s.index+1)
	}
	o.Code = s.code(&r)
	switch {
	case o.Code != 0:
	case !r.write():
		o.Event = &v2store.Event{Action: v2store.Get, Node: s.node(r.Key, true)}
	default:
		s.index++
		o.Index, o.Event = s.index, s.event(&r)
		s.h.Events = append(s.h.Events, Seen{Event: o.Event})
		s.tree.apply(o.Event)
	}
	s.h.To = s.index
	s.h.Ops = append(s.h.Ops, o)
	return &s.h.Ops[len(s.h.Ops)-1]
}

// code returns the error of a request, or 0.
func (s *store) code(r *Request) int {
	n, found := s.tree[r.Key]
	compares := r.Action == v2store.CompareAndSwap || r.Action == v2store.CompareAndDelete
	switch {
	case r.Action == v2store.Create && found:
		return v2store.CodeNodeExist
	case r.Action == v2store.Create || r.Action == v2store.Set:
		return 0
	case !found:
		return v2store.CodeKeyNotFound
	case compares && !r.matches(n):
		return v2store.CodeTestFailed
	case r.Action == v2store.Delete && n.Dir && !r.Recursive && len(s.tree.below(r.Key)) > 1:
		return v2store.CodeDirNotEmpty
	}
	return 0
}

func (s *store) event(r *Request) *v2store.Event {
	e := &v2store.Event{Action: r.Action, PrevNode: s.node(r.Key, false)}
	value := r.Value
	e.Node = &v2store.Node{Key: r.Key, Dir: r.Dir, ModifiedIndex: s.index, CreatedIndex: s.index}
	if !r.Dir && !r.removes() {
		e.Node.Value = &value
	}
	if e.PrevNode != nil && r.Action != v2store.Set {
		e.Node.CreatedIndex = e.PrevNode.CreatedIndex
	}
	return e
}

// node returns a node, or nil.
func (s *store) node(key string, recursive bool) *v2store.Node {
	n, found := s.tree[key]
	if !found {
		return nil
	}
	view := &v2store.Node{Key: key, Dir: n.Dir, CreatedIndex: n.Created, ModifiedIndex: n.Modified}
	if value := n.Value; !n.Dir {
		view.Value = &value
	}
	for child := range maps.Keys(s.tree) {
		if recursive && strings.HasPrefix(child, key+"/") && !strings.Contains(child[len(key)+1:], "/") {
			view.Nodes = append(view.Nodes, s.node(child, true))
		}
	}
	return view
}

// expire lets a node expire.
func (s *store) expire(key string, at time.Time) {
	s.index++
	e := &v2store.Event{Action: v2store.Expire, PrevNode: s.node(key, false),
		Node: &v2store.Node{Key: key, ModifiedIndex: s.index, CreatedIndex: s.tree[key].Created}}
	e.PrevNode.Expiration = &at
	s.h.Events = append(s.h.Events, Seen{Event: e, At: time.Unix(1000, 0)})
	s.tree.apply(e)
	s.h.To = s.index
}

// The requests of the tests.
func set(key, value string) Request { return Request{Action: v2store.Set, Key: key, Value: value} }
func get(key string) Request        { return Request{Action: v2store.Get, Key: key, Quorum: true} }
func post(value string) Request {
	return Request{Action: v2store.Create, Key: "/a/q", InOrder: true, Value: value}
}
func mkdir(key string) Request { return Request{Action: v2store.Create, Key: key, Dir: true} }
func remove(key string) Request {
	return Request{Action: v2store.Delete, Key: key}
}
func swap(key, old, value string) Request {
	return Request{Action: v2store.CompareAndSwap, Key: key, Value: value, PrevValue: old}
}

// found returns what is wrong with the history, as one text.
func (s *store) found() string { return strings.Join(s.h.Check(), "\n") }
