package v2store_test

import (
	"reflect"
	"slices"
	"time"

	"etcd-tlsproxy/proxy/proxytest/v2draw"
	"etcd-tlsproxy/proxy/v2store"
)

// planned is a plan that has not been applied.
type planned struct {
	op     *v2store.Operation
	change *v2store.Change
}

func (m *model) checkFacts(c *v2store.Change) {
	if len(c.Facts) == 0 {
		m.Fatalf("%+v rests on no facts", c)
	}
	for _, f := range c.Facts {
		if !m.tree.Holds(f) {
			m.Fatalf("%+v rests on %+v, which is not true", c, f)
		}
		m.counts.add("%s rests on %s", c.Action, f.Kind)
	}
}

// checkPlanned checks that a plan is still the same as long as its facts hold, whatever else
// happened since. Then it plans another operation for the next step.
func (m *model) checkPlanned() {
	if p := m.planned; p != nil {
		hold := !slices.ContainsFunc(p.change.Facts, func(f v2store.Fact) bool { return !m.tree.Holds(f) })
		m.counts.add("a plan whose facts hold after another change: %v", hold)
		if hold {
			again, failure := v2store.Plan(p.op, m.tree, time.Unix(0, p.change.Time))
			if failure != nil {
				m.Fatalf("%+v holds, but the operation now fails: %v", p.change, failure)
			}
			a, b := *again, *p.change
			a.Facts, b.Facts = nil, nil
			if !reflect.DeepEqual(a, b) {
				m.Fatalf("the facts %v hold, but the plan changed from %+v to %+v", p.change.Facts, b, a)
			}
		}
	}
	m.planned = nil
	o, failure := v2store.Parse(v2draw.New(m.Uint64()).Request(drawn{m.tree}, v2draw.AnyLife), m.now)
	if failure != nil || !o.Write() {
		return
	}
	if c, failure := v2store.Plan(o, m.tree, m.now); failure == nil {
		m.planned = &planned{o, c}
	}
}
