package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// fake is an etcd that holds what a test says.
type fake struct {
	member
	url string
}

func (f fake) URL() string { return f.url }

// newTrial is a world without a proxy.
func newTrial(t *testing.T, tree string) *world {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(tree)) }))
	t.Cleanup(s.Close)
	w := newWorld(&stage{}, fake{url: s.URL}, 1)
	w.work, w.heard = t.Context(), t.Context()
	return w
}

// found compares the mismatches of a trial with what they should speak of.
func (w *world) found(t *testing.T, want ...string) {
	t.Helper()
	for i, text := range want {
		if i >= len(w.tally.mismatches) || !strings.Contains(w.tally.mismatches[i], text) {
			t.Errorf("%q should speak of %q", w.tally.mismatches, text)
			return
		}
	}
	if w.tally.wrong != len(want) {
		t.Errorf("%d are found, want %d: %q", w.tally.wrong, len(want), w.tally.mismatches)
	}
}

func TestLostDoubledAndGhostPostsAreFound(t *testing.T) {
	tree := func(nodes ...*node) string {
		data, err := json.Marshal(event{Node: &node{Nodes: nodes}})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, c := range []struct {
		fate  fate
		nodes []*node
		want  []string
	}{
		{once, []*node{{Key: "/f/1", Value: "v"}}, nil},
		{once, nil, []string{"is not there"}},
		{once, []*node{{Key: "/f/2", Value: "v"}}, []string{"was acknowledged as /f/1 and is /f/2"}},
		{once, []*node{{Key: "/f/1", Value: "v"}, {Key: "/f/2", Value: "v"}}, []string{"is there as [/f/1 /f/2]"}},
		{maybe, nil, nil},
		{maybe, []*node{{Key: "/f/9", Value: "v"}}, nil},
		{maybe, []*node{{Key: "/f/1", Value: "v"}, {Key: "/f/2", Value: "v"}}, []string{"is there as"}},
		{never, nil, nil},
		{never, []*node{{Key: "/f/1", Value: "v"}}, []string{"never sent to etcd whole"}},
		{never, []*node{{Key: "/f/1", Value: "other"}}, []string{"counted before or never sent"}},
		{never, []*node{{Key: "/f/1", Value: "late"}}, nil},
	} {
		w := newTrial(t, tree(c.nodes...))
		w.posts.note("/f", "v", c.fate, "/f/1")
		w.posts.late["late"] = true
		if err := w.posts.check(w, "test", "/f"); err != nil {
			t.Fatal(err)
		}
		w.found(t, c.want...)
	}
}

func TestLostAndDoubledSwapsAreFound(t *testing.T) {
	w := newTrial(t, `{"node":{"value":"5:x"}}`)
	for k, acked := range []int64{5, 6, 4, 4, 3} {
		w.counters.acked[k].Store(acked)
	}
	w.counters.open[3].Store(1)
	w.counters.open[4].Store(1)
	if err := w.counters.check(w); err != nil {
		t.Fatal(err)
	}
	w.found(t, "k1 is 5 after 6", "k2 is 5 after 4", "k4 is 5 after 3 acknowledged swaps and 1")
	if w.tally.lost != 1 || w.tally.doubled != 2 {
		t.Errorf("%d lost, %d doubled", w.tally.lost, w.tally.doubled)
	}
}

func TestTracesOfWhatWasRefusedAreFound(t *testing.T) {
	w := newTrial(t, `{"node":{"key":"/soak/refused-1"}}`)
	if err := w.checkRefused(); err != nil {
		t.Fatal(err)
	}
	w.found(t, "what was refused", "what was refused", "what was refused")
}

func TestWhatAWatcherMissesIsFound(t *testing.T) {
	const key = "/soak/watched/p0/k"
	follow := func(do func(*ledger, *follower)) *world {
		w := newTrial(t, "")
		l := w.ledgers[0]
		f := &follower{who: "watcher"}
		f.begin(10)
		l.followers = append(l.followers, f)
		do(l, f)
		l.close()
		return w
	}
	hear := func(l *ledger, f *follower, index uint64, value string) { l.hear(f, index, key, setText(key, value)) }
	ack := func(l *ledger, index uint64, value string) { l.acked("writer", index, key, setText(key, value)) }

	follow(func(l *ledger, f *follower) {
		ack(l, 9, "before")
		ack(l, 10, "a")
		hear(l, f, 10, "a")
		hear(l, f, 12, "b")
		ack(l, 12, "b")
		l.unknown(setText(key, "c"))
		hear(l, f, 13, "c")
	}).found(t)
	follow(func(l *ledger, f *follower) {
		ack(l, 10, "a")
		ack(l, 11, "b")
		hear(l, f, 11, "b")
	}).found(t, "missed event 10")
	follow(func(l *ledger, f *follower) {
		hear(l, f, 11, "b")
		ack(l, 10, "a")
		ack(l, 11, "b")
	}).found(t, "missed event 10")
	follow(func(l *ledger, f *follower) {
		ack(l, 10, "a")
		hear(l, f, 10, "a")
		hear(l, f, 10, "a")
	}).found(t, "got event 10")
	follow(func(l *ledger, f *follower) {
		ack(l, 10, "a")
		hear(l, f, 10, "other")
	}).found(t, "was known as")
	follow(func(l *ledger, f *follower) { hear(l, f, 10, "a") }).found(t, "was never written")
}

func TestAReadThatLacksAnEventIsFound(t *testing.T) {
	const key = "/soak/watched/p0/k"
	for _, c := range []struct {
		deleted uint64
		nodes   []*node
		want    []string
	}{
		{0, []*node{{Key: key, Value: "a", ModifiedIndex: 10}}, nil},
		{0, nil, []string{"lacks /soak/watched/p0/k, which event 10 set"}},
		{12, nil, nil},
		{30, nil, []string{"lacks /soak/watched/p0/k, which event 10 set"}}, // too late
		{0, []*node{{Key: key, Value: "old", ModifiedIndex: 5}}, []string{"shows event 5"}},
		{0, []*node{{Key: key, Value: "b", ModifiedIndex: 10}}, []string{"was known as"}},
	} {
		w := newTrial(t, "")
		l := w.ledgers[0]
		l.unknown(setText(key, "old"))
		l.acked("writer", 10, key, setText(key, "a"))
		f := &follower{who: "reader"}
		l.look(f, 20, c.nodes)
		if c.deleted > 0 {
			l.acked("writer", c.deleted, key, deleteText(key))
		}
		l.close()
		w.found(t, c.want...)
	}
}

// reply is a transport that answers what a test says.
type reply struct {
	answer
	err error
}

func (r reply) close()                                         {}
func (r reply) ask(context.Context, *request) (*answer, error) { return &r.answer, r.err }

func TestAnswersAreExcusedOnlyInAnOutage(t *testing.T) {
	unreachable := answer{status: 503, body: `{"errorCode":300,"cause":"No endpoint accepted a connection; nothing was sent"}`}
	lost := answer{status: 503, body: `{"errorCode":300,"cause":"The write may or may not have been carried out"}`}
	for _, c := range []struct {
		reply
		local   bool
		outcome outcome
		outage  bool // whether it is right in one
		always  bool // and else
	}{
		{reply: reply{answer: answer{status: 200, body: "{}"}}, outcome: done, outage: true, always: true},
		{reply: reply{answer: unreachable}, outcome: unsent, outage: true},
		{reply: reply{answer: lost}, outcome: unknown, outage: true},
		{reply: reply{answer: lost}, local: true, outcome: unknown},
		{reply: reply{answer: answer{status: 503, body: `{"message":"of another shape"}`}}, outcome: unknown},
		{reply: reply{answer: answer{status: 500, body: lost.body}}, outcome: unknown},
		{reply: reply{answer: answer{status: 200, body: "<html>"}}, outcome: unknown},
		{reply: reply{err: errBrokenOff}, outcome: unknown, outage: true},
		{reply: reply{err: errors.New("reset")}, outcome: unknown},
	} {
		for _, away := range []bool{false, true} {
			w := newTrial(t, "")
			work, stop := context.WithCancel(t.Context())
			stop() // nobody rests
			w.work = work
			if away {
				w.outages.begin()
			}
			a := w.actor("test", 0, func(*actor) transport { return c.reply })
			_, got := a.do(&request{method: "GET", target: "/soak/x", local: c.local}, 200)
			right := c.always || away && c.outage
			if (w.tally.wrong == 0) != right || right && got != c.outcome {
				t.Errorf("%+v, etcd is away: %t: %v, %q", c.reply, away, got, w.tally.mismatches)
			}
		}
	}
}

func TestAnOutageExcusesWhatOverlapsIt(t *testing.T) {
	o := &outages{}
	before := time.Now()
	o.begin()
	o.end()
	after := time.Now()
	for _, c := range []struct {
		from, to time.Time
		want     bool
	}{{before, after, true}, {before.Add(-time.Second), before, false}, {after, after.Add(time.Second), false}} {
		if o.excuse(c.from, c.to) != c.want {
			t.Errorf("from %v to %v", c.from.Sub(before), c.to.Sub(before))
		}
	}
}

func TestStaleAndForeignValuesAreFound(t *testing.T) {
	w := newTrial(t, "")
	a := w.actor("reader", 0, func(*actor) transport { return reply{} })
	w.tagged.sent[3].Store(5)
	r := &request{method: "GET", target: taggedKey(3)}
	var floors [taggedKeys]int64
	floors[3] = 4
	for _, c := range []struct {
		node  *node
		index uint64
		want  []string
	}{
		{&node{Key: taggedKey(3), Value: taggedValue(3, 4)}, 10, nil},
		{&node{Key: taggedKey(3), Value: taggedValue(3, 5)}, 10, nil},
		{&node{Key: taggedKey(3), Value: taggedValue(3, 3)}, 10, []string{"version 3; 4 was acknowledged"}},
		{&node{Key: taggedKey(3), Value: taggedValue(3, 6)}, 10, []string{"and 5 is the newest"}},
		{&node{Key: taggedKey(3), Value: taggedValue(2, 4)}, 10, []string{"never written there"}},
		{&node{Key: taggedKey(2), Value: taggedValue(3, 4)}, 10, []string{"never written there"}},
		{nil, 10, []string{"version 0"}},
		{&node{Key: taggedKey(3), Value: taggedValue(3, 4)}, 9, []string{"shows index 9, and 10 was acknowledged"}},
	} {
		w.tally = newTally(1)
		a.checkTagged(r, &answer{index: c.index, event: event{Node: c.node}}, 3, 10, floors)
		w.found(t, c.want...)
	}
}
