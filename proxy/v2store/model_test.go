package v2store_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver/api/v2error"
	etcdstore "go.etcd.io/etcd/server/v3/etcdserver/api/v2store"
	"pgregory.net/rapid"

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
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range c.of {
			if !yield(name) {
				return
			}
		}
	}) {
		t.Logf("%8d %s", c.of[name], name)
	}
}

// TestTheModelEqualsEtcd sends random requests to this package and to etcd's own handler and
// store, and compares status, index, body, and the events of watches. Set -rapid.checks for longer runs.
func TestTheModelEqualsEtcd(t *testing.T) {
	c := &counts{of: map[string]int{}}
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt, c)
		for i, seed := range rapid.SliceOfN(seeds, 100, 400).Draw(rt, "seeds") {
			m.choices = newChoices(seed)
			if i == 0 && m.once(10) {
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
	choices
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

// pair is a watch of the same key in both.
type pair struct {
	name   string
	stream bool
	theirs etcdstore.Watcher
	ours   []*v2store.Event
	heard  int
}

// planned is a plan that has not been applied.
type planned struct {
	op     *v2store.Operation
	change *v2store.Change
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
		m.do(m.request(m.tree))
	}
	m.compareEvents()
	m.checkPlanned()
}

// advance moves both clocks. The fraction of a second differs at each step, so that no two nodes
// expire at the same time: etcd's order of such nodes is not specified.
func (m *model) advance() {
	m.steps++
	d := time.Nanosecond
	if m.once(4) {
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
		c := v2store.PlanExpire(m.tree, m.now)
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

func (m *model) watch() {
	o := &v2store.Operation{Action: v2store.Watch, Key: m.key(), Recursive: m.once(2), Stream: m.once(2)}
	switch index := m.tree.Index(); m.IntN(4) {
	case 0:
		o.Since = m.Uint64N(index + 4)
	case 1, 2:
		o.Since = max(index+3, 8) - m.Uint64N(8)
	}
	if index := m.tree.Index(); index > 1000 && m.once(4) {
		o.Since = 1 + m.Uint64N(index-990) // near the start of the history
	}
	p := &pair{stream: o.Stream, name: fmt.Sprintf("watch %+v at %d", *o, m.tree.Index())}
	w, failure := m.watches.Start(o, m.tree, m.history, func(e *v2store.Event) { p.ours = append(p.ours, e) })
	theirs, err := m.ref.store.Watch("/1"+o.Key, o.Recursive, o.Stream, o.Since)
	if failure != nil || err != nil {
		m.compareErrors(p.name, failure, err)
		return
	}
	if w.Index != theirs.StartIndex() {
		m.Fatalf("%s has index %d, want %d", p.name, w.Index, theirs.StartIndex())
	}
	p.theirs = theirs
	m.counts.add("watch, recursive %v, stream %v, from history %v", o.Recursive, o.Stream, len(p.ours) > 0)
	m.pairs = append(m.pairs, p)
}

func (m *model) compareErrors(name string, got *v2store.Error, err error) {
	var want *v2error.Error
	if !errors.As(err, &want) || got == nil {
		m.Fatalf("%s: got error %v, want %v", name, got, err)
	}
	if got.Code != want.ErrorCode || got.Cause != want.Cause || got.Index != want.Index || got.Message != want.Message {
		m.Fatalf("%s: got %+v, want %+v", name, got, want)
	}
	m.counts.add("watch fails with %d", got.Code)
}

// compareEvents compares what the watches have received since the last step.
func (m *model) compareEvents() {
	for _, p := range m.pairs {
		var want []string
		for more := true; more; {
			select {
			case e := <-p.theirs.EventChan():
				want = append(want, string(event(e).Body()))
			default:
				more = false
			}
		}
		var got []string
		for _, e := range p.ours[p.heard:] {
			got = append(got, string(e.Body()))
		}
		for i, e := range p.ours[p.heard:] {
			m.counts.add("watch receives %s, stream %v, second time %v", e.Action, p.stream, i > 0 && got[i] == got[i-1])
		}
		p.heard = len(p.ours)
		if !slices.Equal(got, want) {
			m.Fatalf("%s received %q, want %q", p.name, got, want)
		}
	}
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
	o, failure := v2store.Parse(newChoices(m.Uint64()).request(m.tree), m.now)
	if failure != nil || !o.Write() {
		return
	}
	if c, failure := v2store.Plan(o, m.tree, m.now); failure == nil {
		m.planned = &planned{o, c}
	}
}
