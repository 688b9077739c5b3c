package shadow

import (
	"fmt"
	"path"
	"strings"

	"etcd-tlsproxy/proxy/v2store"
)

// compareForms compares answers about the form of a request, which depend on nothing else.
func (a *Sample) compareForms() {
	if a.invalid == nil {
		a.differs(Verdict, "the v2 API refuses the form with "+describe(a.answer.Code, a.answer.Message)+", and the shadow takes it")
		return
	}
	a.compareErrors(a.invalid)
}

// compare compares an answer with what a tree of its index answers. It is that to a read, or a refusal.
func (a *Sample) compare(p *place, t *v2store.Tree) {
	if a.op.Write() {
		_, failure := v2store.Plan(a.op, t, a.began)
		switch {
		case a.answer.Code == v2store.CodeTestFailed && a.refreshedCause(p, t):
			a.Skip(Refresh)
		case failure != nil:
			a.compareErrors(failure)
		default:
			a.differs(Verdict, "the v2 API refuses it with "+describe(a.answer.Code, a.answer.Message)+", and the shadow does it")
		}
		return
	}
	e, failure := t.Get(a.op, a.ended)
	if failure != nil {
		a.compareErrors(failure)
		return
	}
	a.compareEvents(p, e)
}

// compareExecuted compares the answer to a write with what a tree just before its event answers.
func (a *Sample) compareExecuted(p *place, t *v2store.Tree) {
	op := *a.op
	if op.InOrder { // the name is the index of the v2 API
		name := fmt.Sprintf("%020d", a.index)
		if n := a.answer.Node; n != nil && path.Base(n.Key) != name {
			a.differs(Nodes, "the node has another name than that of its index")
			return
		}
		op.InOrder, op.Key = false, op.Key+"/"+name
	}
	c, failure := v2store.Plan(&op, t, a.began)
	switch {
	case failure != nil && failure.Code == v2store.CodeTestFailed && a.refreshedCause(p, t):
		a.Skip(Refresh)
		return
	case failure != nil:
		a.differs(Verdict, "the v2 API does it, and the shadow refuses it with "+describe(failure.Code, failure.Message))
		return
	}
	e := t.Preview(c, a.index)
	status := 200
	if e.Created() {
		status = 201
	}
	if a.status != status {
		a.differs(Verdict, fmt.Sprintf("the v2 API answers with the status %d, and the shadow with %d", a.status, status))
		return
	}
	if op.NoValueOnSuccess && e.Action != v2store.Delete && e.Action != v2store.CompareAndDelete {
		e.Node, e.PrevNode = nil, nil
	}
	a.compareEvents(p, e)
}

// compareErrors compares two refusals.
func (a *Sample) compareErrors(want *v2store.Error) {
	got := &a.answer.Error
	switch {
	case got.Code == 0:
		a.differs(Verdict, "the v2 API does it, and the shadow refuses it with "+describe(want.Code, want.Message))
	case got.Code != want.Code || got.Message != want.Message || a.status != want.Status():
		a.differs(Verdict, "the v2 API refuses it with "+describe(got.Code, got.Message)+", and the shadow with "+describe(want.Code, want.Message))
	case got.Cause != want.Cause:
		a.differs(Verdict, "both refuse it with "+describe(want.Code, want.Message)+", for different causes")
	default:
		a.compared()
	}
}

// refreshedCause reports whether a condition may depend on a refresh: that of the node, or one that the answer names.
func (a *Sample) refreshedCause(p *place, t *v2store.Tree) bool {
	if a.op.PrevIndex == 0 {
		return false
	}
	r, found := t.Record(a.op.Key)
	if !found {
		return false
	}
	index := a.op.PrevIndex // which was that of the node, if the write was executed
	if a.answer.Code != 0 {
		at := strings.LastIndex(a.answer.Cause, " != ")
		if _, err := fmt.Sscanf(a.answer.Cause[max(at, 0):], " != %d]", &index); err != nil {
			return false
		}
	}
	return index > r.Modified && p.unseen(index)
}

// compareEvents compares what was done or read.
func (a *Sample) compareEvents(p *place, want *v2store.Event) {
	got := a.answer
	if got.Code != 0 {
		a.differs(Verdict, "the v2 API refuses it with "+describe(got.Code, got.Message)+", and the shadow does it")
		return
	}
	if got.Action != want.Action {
		a.differs(Action, fmt.Sprintf("the v2 API calls it %q, and the shadow %q", got.Action, want.Action))
		return
	}
	n := nodes{sample: a, place: p}
	n.compare("node", got.Node, want.Node)
	n.compare("prevNode", got.PrevNode, want.PrevNode)
	switch {
	case n.kind != "":
		a.differs(n.kind, n.what)
	case n.refreshed:
		a.Skip(Refresh)
	default:
		a.compared()
	}
}
