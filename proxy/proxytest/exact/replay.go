package exact

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"etcd-tlsproxy/proxy/v2store"
)

// replay applies the events to the tree. Each must continue it, and each answer must be true in the
// tree of its index.
func (h *History) replay(claims map[uint64]*Op, found *findings) {
	var answers []*Op
	for i := range h.Ops {
		if o := &h.Ops[i]; o.Outcome == Answered && o.Index >= h.After && (!o.write() || o.Code != 0) {
			answers = append(answers, o)
		}
	}
	slices.SortStableFunc(answers, func(a, b *Op) int { return cmp.Compare(a.Index, b.Index) })
	tree, jumps := Tree{}, h.Jumps
	for key, n := range h.Tree {
		tree[key] = n
	}
	// check judges the answers below an index.
	check := func(below uint64) {
		for len(answers) > 0 && answers[0].Index < below {
			if o := answers[0]; !h.forgotten(o.Index) || o.Index == h.After {
				if text := tree.contradicts(o); text != "" {
					found.add("an answer is not true at its index: %s: %s", o, text)
				}
			}
			answers = answers[1:]
		}
	}
	jump := func(below uint64) {
		for len(jumps) > 0 && jumps[0].To < below {
			check(jumps[0].To + 1)
			tree, jumps = jumps[0].Tree.below(""), jumps[1:]
		}
	}
	for _, e := range h.Events {
		jump(e.index())
		check(e.index())
		if text := tree.continues(e.Event); text != "" {
			found.add("an event was missed before %s: %s", describe(e.Event), text)
		}
		if o := claims[e.index()]; o != nil {
			if text := tree.forbids(o, e.Event); text != "" {
				found.add("a write was carried out although its condition did not hold: %s: %s", o, text)
			}
		}
		h.checkExpiry(e, found)
		tree.apply(e.Event)
	}
	jump(^uint64(0))
	check(^uint64(0))
}

// checkExpiry makes sure that no node expires long before its time.
func (h *History) checkExpiry(e Seen, found *findings) {
	if e.Action != v2store.Expire {
		return
	}
	if e.PrevNode == nil || e.PrevNode.Expiration == nil {
		found.add("a node expired that had no time to do so: %s", describe(e.Event))
	} else if early := e.PrevNode.Expiration.Sub(e.At); early > h.Early {
		found.add("a node expired %s before its time: %s", early, describe(e.Event))
	}
}

// contradicts returns why an answer cannot be given in the tree, or "".
func (t Tree) contradicts(o *Op) string {
	n, exists := t[o.Key]
	if o.Code == 0 {
		return NewTree(o.Event.Node).difference(t.below(o.Key))
	}
	children := len(t.below(o.Key)) > 1
	holds := false
	switch o.Code {
	case v2store.CodeKeyNotFound:
		holds = !exists
	case v2store.CodeNodeExist:
		holds = exists
	case v2store.CodeTestFailed:
		holds = exists && !o.matches(n)
	case v2store.CodeNotFile:
		holds = exists && n.Dir
	case v2store.CodeDirNotEmpty:
		holds = children
	case v2store.CodeNotDir:
		for key, above := range t {
			holds = holds || !above.Dir && strings.HasPrefix(o.Key, key+"/")
		}
	default:
		return "the error has another code than those that are expected"
	}
	if holds {
		return ""
	}
	return fmt.Sprintf("there is %+v (exists: %v, not empty: %v)", n, exists, children)
}

// matches reports whether the condition of a request holds for a node.
func (r *Request) matches(n Node) bool {
	if r.PrevIndex != 0 {
		return n.Modified == r.PrevIndex
	}
	return r.PrevValue == "" || n.Value == r.PrevValue
}

// forbids returns why a write cannot be carried out in the tree, or "".
func (t Tree) forbids(o *Op, e *v2store.Event) string {
	n := t[o.Key]
	switch {
	case (o.Action == v2store.CompareAndSwap || o.Action == v2store.CompareAndDelete) && !o.matches(n):
		return fmt.Sprintf("there was %+v", n)
	case o.Action == v2store.Delete && n.Dir && !o.Recursive && len(t.below(o.Key)) > 1:
		return "the directory was not empty"
	case o.removes() && e.PrevNode == nil:
		return "there was no node"
	}
	return ""
}
