package v2store_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"etcd-tlsproxy/proxy/proxytest/v2draw"
	"etcd-tlsproxy/proxy/v2store"
)

// counts says how often the runs of a test reached each rule.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

func (c *counts) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[fmt.Sprintf(format, args...)]++
}

func (c *counts) log(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(c.of)) {
		t.Logf("%8d %s", c.of[name], name)
	}
}

// TestTheModelEqualsEtcd sends random requests to this package and to etcd's own handler and
// store, and compares status, index, body, and the events of watches. Set -rapid.checks for longer runs.
func TestTheModelEqualsEtcd(t *testing.T) {
	c := &counts{of: map[string]int{}}
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt, c)
		for i, seed := range rapid.SliceOfN(v2draw.Seeds, 100, 400).Draw(rt, "seeds") {
			m.Choices = v2draw.New(seed)
			if i == 0 && m.Once(10) {
				m.fill(900 + m.IntN(400))
			}
			m.step()
		}
	})
	c.log(t)
}

// model is this package and the reference side by side.
type model struct {
	*rapid.T
	v2draw.Choices
	counts  *counts
	ref     *reference
	tree    *v2store.Tree
	history *v2store.History
	watches *v2store.Watches
	now     time.Time
	steps   int
	pairs   []*pair
	planned *planned
}

// drawn is a tree that requests are drawn for.
type drawn struct{ *v2store.Tree }

// Modified implements [v2draw.Tree].
func (t drawn) Modified(key string) uint64 {
	e, failure := t.Get(&v2store.Operation{Key: key}, epoch)
	if failure != nil {
		return 0
	}
	return e.Node.ModifiedIndex
}

// epoch is when tests begin.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newModel(t *rapid.T, c *counts) *model {
	return &model{T: t, counts: c, ref: newReference(epoch), tree: v2store.New(0), history: v2store.NewHistory(0),
		watches: v2store.NewWatches(), now: epoch}
}

// fill makes the history nearly or more than full.
func (m *model) fill(n int) {
	for range n {
		m.do(&v2store.Request{Method: "PUT", Path: "/a/b", Query: "value=x"})
	}
}

func (m *model) step() {
	switch m.IntN(10) {
	case 0:
		m.sweep()
	case 1, 2:
		m.watch()
	default:
		m.do(m.Request(drawn{m.tree}, v2draw.AnyLife))
	}
	m.compareEvents()
	m.checkPlanned()
}

// advance moves both clocks. The fraction of a second differs at each step, so that no two nodes
// expire at the same time: etcd's order of such nodes is not specified.
func (m *model) advance() {
	m.steps++
	d := time.Nanosecond
	if m.Once(4) {
		d += time.Duration(1+m.IntN(2)) * time.Second
	}
	m.now = m.now.Add(d)
	m.ref.clock.Advance(d)
}

func (m *model) do(q *v2store.Request) {
	m.advance()
	m.Logf("at index %d: %+v", m.tree.Index(), *q)
	o, failure := v2store.Parse(q, m.now)
	var got v2store.Answer
	var plan *v2store.Change
	rule := "a form"
	expires := int64(0)
	switch {
	case failure != nil:
	case o.Action == v2store.Get:
		expires, rule = o.Expires, "get"
		var e *v2store.Event
		if e, failure = m.tree.Get(o, m.now); failure == nil {
			got = e.Answer(o)
		}
	default:
		expires, rule = o.Expires, string(o.Action)
		if plan, failure = v2store.Plan(o, m.tree, m.now); failure == nil {
			m.checkFacts(plan)
		}
	}
	want := m.ref.answer(q, expires)
	switch {
	case failure != nil:
		got = failure.Answer()
		rule = fmt.Sprintf("%s fails with %d", rule, failure.Code)
	case plan != nil && plan.Action == v2store.Update && plan.Put.Dir:
		// Etcd 3.5 refuses what 3.4 does. See TestAnUpdateOfADirectoryChangesItsExpiry.
		if want.Code != 500 || !strings.Contains(want.Body.String(), "Not a file") {
			m.Fatalf("%+v: etcd 3.5 answers %d %s, want its refusal to update directories", q, want.Code, want.Body)
		}
		m.counts.add("update of a directory, which 3.5 refuses")
		return
	case plan != nil:
		got = m.apply(plan).Answer(o)
		rule = fmt.Sprintf("%s %d, refresh %v, directory %v, below %d missing", rule, got.Status, plan.Refresh,
			plan.Put != nil && plan.Put.Dir || plan.Below, min(len(plan.Dirs), 2))
	}
	m.compareRendered(q)
	m.counts.add("%s", rule)
	gotText := fmt.Sprintf("%d %d %s", got.Status, got.Index, got.Body)
	wantText := fmt.Sprintf("%d %s %s", want.Code, want.Header().Get("X-Etcd-Index"), want.Body)
	if gotText != wantText {
		m.Fatalf("%+v: got %s\nwant %s", *q, gotText, wantText)
	}
}

// apply applies a change and publishes its event.
func (m *model) apply(c *v2store.Change) *v2store.Event {
	e, err := m.tree.Apply(c, m.tree.Index()+1)
	if err != nil {
		m.Fatalf("a planned change does not fit: %v", err)
	}
	m.watches.Notify(e)
	m.history.Add(e)
	return e
}

func (m *model) sweep() {
	m.advance()
	m.ref.store.DeleteExpiredKeys(m.now)
	for {
		c := v2store.PlanExpire(m.tree, m.now, nil)
		if c == nil {
			break
		}
		m.checkFacts(c)
		m.apply(c)
		m.counts.add("expire, directory %v", c.Below)
	}
	if got, want := m.tree.Index(), m.ref.store.Index(); got != want {
		m.Fatalf("after a sweep the index is %d, want %d", got, want)
	}
}
