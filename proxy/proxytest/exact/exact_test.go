package exact

import (
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

// busy returns the store of a history with all kinds of operations.
func busy(t *testing.T) *store {
	s := newStore(t)
	for _, r := range []Request{
		get("/a/r"), set("/a/r", "1"), get("/a/r"), swap("/a/r", "1", "2"), swap("/a/r", "1", "3"), remove("/a/r"), remove("/a/r"),
		{Action: v2store.Update, Key: "/a/r", Value: "4"}, {Action: v2store.Create, Key: "/a/r", Value: "5"}, {Action: v2store.Create, Key: "/a/r", Value: "6"},
		{Action: v2store.CompareAndDelete, Key: "/a/r", PrevValue: "5"}, set("/a/r", "7"),
		mkdir("/a/d"), mkdir("/a/d"), set("/a/d/x", "8"), {Action: v2store.Delete, Key: "/a/d", Dir: true},
		{Action: v2store.Get, Key: "/a/d", Quorum: true, Recursive: true}, {Action: v2store.Delete, Key: "/a/d", Dir: true, Recursive: true}, get("/a/d"),
		post("9"), post("10"), {Action: v2store.Get, Key: "/a/q"}, set("/a/t", "11"),
	} {
		s.do(r)
	}
	s.expire("/a/t", time.Unix(999, 0))
	get := s.do(Request{Action: v2store.Get, Key: "/a/r", Quorum: true})
	s.h.Watchers = []Watcher{{Name: "another", After: s.h.After, To: get.Index, Events: slices.Clone(s.h.Events)}}
	return s
}

func TestAnExactHistoryIsAccepted(t *testing.T) {
	if text := busy(t).found(); text != "" {
		t.Errorf("got %s, want nothing", text)
	}
	s := newStore(t)
	s.do(set("/a/r", "1"))
	*s.do(set("/a/r", "2")) = Op{Request: set("/a/r", "2"), Start: s.clock, End: s.clock + 1, Outcome: Unknown}
	s.do(post("3")).Outcome = Executed
	s.h.Ops = append(s.h.Ops, Op{Request: set("/a/r", "4"), Outcome: Refused}, Op{Request: set("/a/r", "5"), Outcome: Unknown})
	s.do(get("/a/r"))
	if text := s.found(); text != "" {
		t.Errorf("with writes of unknown outcome: got %s, want nothing", text)
	}
}

// TestEachFaultIsFound falsifies exact histories.
func TestEachFaultIsFound(t *testing.T) {
	for name, test := range map[string]struct {
		falsify func(*store)
		want    string
	}{
		"a lost write": {func(s *store) {
			s.do(set("/a/r", "lost"))
			s.h.Events = s.h.Events[:len(s.h.Events)-1]
		}, "a write was acknowledged, and no watcher received its event"},
		"a lost write without its event, and a read": {func(s *store) {
			before := s.tree.below("")
			o := s.do(set("/a/r", "lost"))
			o.Outcome = Answered
			s.tree, s.h.Events = before, s.h.Events[:len(s.h.Events)-1]
			s.do(get("/a/r"))
		}, "not linearizable"},
		"a doubled write": {func(s *store) {
			o := *s.do(post("twice"))
			s.do(post("twice"))
			s.h.Ops = append(s.h.Ops[:len(s.h.Ops)-2], o)
		}, "an event is that of no write, or the second one of a write"},
		"a doubled write of unknown outcome": {func(s *store) {
			s.do(post("twice"))
			s.do(post("twice"))
			s.h.Ops = append(s.h.Ops[:len(s.h.Ops)-2], Op{Request: post("twice"), Outcome: Unknown})
		}, "an event is that of no write, or the second one of a write"},
		"a refused write that was carried out": {func(s *store) { s.do(set("/a/r", "refused")).Outcome = Refused },
			"an event is that of no write"},
		"a failed write that was carried out": {func(s *store) { s.do(set("/a/r", "failed")).Code = v2store.CodeTestFailed },
			"an event is that of no write"},
		"a write that was carried out before it began": {func(s *store) {
			o := s.do(set("/a/r", "early"))
			*o = Op{Request: o.Request, Start: s.clock + 10, End: s.clock + 11, Outcome: Unknown}
			s.do(get("/a/r"))
		}, "an event is that of no write"},
		"a stale quorum read": {func(s *store) {
			o := *s.do(get("/a/r"))
			s.do(set("/a/r", "new"))
			s.clock += 2
			o.Start, o.End, o.Client = s.clock, s.clock+1, 7
			s.h.Ops = append(s.h.Ops, o)
		}, "an answer is stale"},
		"a stale quorum read with a wrong index": {func(s *store) {
			o := *s.do(get("/a/r"))
			s.do(set("/a/r", "new"))
			s.clock += 2
			o.Start, o.End, o.Client, o.Index = s.clock, s.clock+1, 7, s.index
			s.h.Ops = append(s.h.Ops, o)
		}, "not linearizable"},
		"a stale refusal": {func(s *store) {
			s.do(remove("/a/r"))
			o := *s.do(remove("/a/r"))
			s.do(set("/a/r", "new"))
			o.Start, o.End, o.Client = s.clock+2, s.clock+3, 7
			s.h.Ops = append(s.h.Ops, o)
		}, "an answer is stale"},
		"a plain read that goes back": {func(s *store) {
			o := *s.do(Request{Action: v2store.Get, Key: "/a/r"})
			s.do(set("/a/r", "new"))
			o.Start, o.End = s.clock+2, s.clock+3
			s.h.Ops = append(s.h.Ops, o)
		}, "the index went backwards for a client"},
		"a plain read of what never was": {func(s *store) {
			wrong := "wrong"
			s.do(Request{Action: v2store.Get, Key: "/a/r"}).Event.Node.Value = &wrong
		}, "an answer is not true at its index"},
		"a missed event": {func(s *store) {
			s.do(set("/a/r", "next"))
			w := &s.h.Watchers[0]
			w.Events, w.To = w.Events[:len(w.Events)-1], s.index
		}, "missed the event"},
		"an event that all missed": {func(s *store) {
			s.do(set("/a/r", "missed")).Outcome = Unknown
			s.h.Events = s.h.Events[:len(s.h.Events)-1]
			s.do(set("/a/r", "next"))
		}, "an event was missed before"},
		"an event that came twice": {func(s *store) {
			w := &s.h.Watchers[0]
			w.Events = append(w.Events, w.Events[len(w.Events)-1])
		}, "received the event"},
		"events in the wrong order": {func(s *store) {
			s.h.Events[0], s.h.Events[1] = s.h.Events[1], s.h.Events[0]
		}, "after one of the index"},
		"an event of nobody for one watcher": {func(s *store) {
			s.do(set("/a/r", "more"))
			s.h.Watchers[0].Events = append(s.h.Watchers[0].Events, s.h.Events[len(s.h.Events)-1])
			s.h.Events, s.h.Ops = s.h.Events[:len(s.h.Events)-1], s.h.Ops[:len(s.h.Ops)-1]
		}, "which the first watcher did not"},
		"a swap without its condition": {func(s *store) {
			o := s.do(set("/a/r", "swapped"))
			o.Action, o.PrevValue = v2store.CompareAndSwap, "other"
			o.Event.Action = v2store.CompareAndSwap
		}, "although its condition did not hold"},
		"two swaps of one node": {func(s *store) {
			s.do(set("/a/r", "old"))
			s.do(swap("/a/r", "old", "new"))
			o := s.do(swap("/a/r", "old", "newer"))
			o.Code, o.Index, o.Event = 0, s.index, s.h.Ops[len(s.h.Ops)-2].Event
		}, "two writes were acknowledged with one index"},
		"a full directory that is removed": {func(s *store) {
			s.do(set("/a/d/x", "more"))
			s.do(Request{Action: v2store.Delete, Key: "/a/d", Dir: true, Recursive: true}).Recursive = false
		}, "the directory was not empty"},
		"an answer with a wrong previous node": {func(s *store) {
			o := s.do(set("/a/r", "right"))
			e := *o.Event
			e.PrevNode = nil
			o.Event = &e
		}, "the answer to a write is not its event"},
		"an entry that is taken twice": {func(s *store) {
			o := *s.do(Request{Action: v2store.CompareAndDelete, Key: "/a/r", PrevValue: "7"})
			s.h.Ops = append(s.h.Ops, o)
		}, "an entry was taken twice"},
		"names out of order": {func(s *store) {
			s.do(post("12")).Event.Node.Key = "/a/q/00000000000000000001"
		}, "names are not in the order of indexes"},
		"a name above its index": {func(s *store) {
			s.do(post("12")).Event.Node.Key = "/a/q/00000000000000009999"
		}, "want 20 digits of a number up to its index"},
		"a node that expires early": {func(s *store) {
			s.do(set("/a/t", "13"))
			s.expire("/a/t", time.Unix(1010, 0))
		}, "before its time"},
		"a directory that loses a file": {func(s *store) {
			s.do(set("/a/d/y", "14"))
			s.do(Request{Action: v2store.Get, Key: "/a/d", Quorum: true, Recursive: true}).Event.Node.Nodes = nil
		}, "the directory /a/d is not linearizable"},
	} {
		t.Run(name, func(t *testing.T) {
			s := busy(t)
			test.falsify(s)
			if text := s.found(); !strings.Contains(text, test.want) {
				t.Errorf("got %q, want %q", text, test.want)
			}
		})
	}
}

// TestForgottenEventsAreNotMissed lets the watcher read again, because events were forgotten.
func TestForgottenEventsAreNotMissed(t *testing.T) {
	s := newStore(t)
	s.do(set("/a/r", "1"))
	s.do(set("/a/r", "forgotten"))
	j := Jump{After: s.index - 1, To: s.index, Tree: s.tree.below("")}
	s.h.Events = s.h.Events[:1]
	s.do(get("/a/r"))
	s.do(swap("/a/r", "forgotten", "3"))
	if text := s.found(); text == "" {
		t.Error("an event was missed, and nothing is found")
	}
	s.h.Jumps = []Jump{j}
	if text := s.found(); text != "" {
		t.Errorf("got %s, want nothing", text)
	}
	j.Tree["/a/r"] = Node{Value: "other", Created: 102, Modified: 102}
	if text := s.found(); !strings.Contains(text, "an event was missed before") {
		t.Errorf("with another tree: got %q, want that an event was missed", text)
	}
}
