package mirror_test

import (
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

func put(key, value string) *mvccpb.Event {
	return &mvccpb.Event{Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value)}}
}

func remove(key string) *mvccpb.Event {
	return &mvccpb.Event{Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: []byte(key)}}
}

// small returns a mirror at the revision 20 with the files /d/a and /d/b.
func small(t *testing.T) *mirror.Mirror {
	t.Helper()
	l := mirror.NewLoading("", layout.Schema, 1, &layout.Meta{Schema: 1, MinRead: 1, MinWrite: 1, Generation: "g"}, 1, 20)
	var kvs []*mvccpb.KeyValue
	for _, pair := range [][2]string{{".v2/d/d", ""}, {".v2/f/d/a", ""}, {".v2/f/d/b", `{"new":1}`}, {".v2/log", `{"a":"none"}`}, {".v2/q/d", "7"}, {"/d/a", "1"}, {"/d/b", "1"}, {"/foreign", "1"}} {
		kvs = append(kvs, &mvccpb.KeyValue{Key: []byte(pair[0]), Value: []byte(pair[1]), ModRevision: 20})
	}
	if err := l.Add(kvs); err != nil {
		t.Fatal(err)
	}
	m, _, err := l.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func apply(m *mirror.Mirror, number int64, events ...*mvccpb.Event) (*v2store.Event, error) {
	for _, e := range events {
		e.Kv.ModRevision = number
	}
	r, err := m.Keys.Read(number, events)
	if err != nil {
		return nil, err
	}
	return m.Apply(r)
}

const deleteD = `{"a":"delete","k":"/d","t":1}`

func TestARevisionThatDoesNotFitIsAnError(t *testing.T) {
	for what, test := range map[string]struct {
		number int64
		events []*mvccpb.Event
	}{
		"an old revision":            {20, []*mvccpb.Event{put("/foreign", "2")}},
		"fewer nodes than removed":   {21, []*mvccpb.Event{put(".v2/log", deleteD), remove(".v2/d/d"), remove(".v2/f/d/a")}},
		"more nodes than removed":    {21, []*mvccpb.Event{put(".v2/log", deleteD), remove(".v2/d/d"), remove(".v2/f/d/a"), remove(".v2/f/d/b"), remove(".v2/f/d/c")}},
		"a mark":                     {21, []*mvccpb.Event{put(".v2/log", `{"a":"none"}`)}},
		"a log that is none":         {21, []*mvccpb.Event{put(".v2/log", "x")}},
		"an unknown action":          {21, []*mvccpb.Event{put(".v2/log", `{"a":"move","k":"/d/a"}`), put(".v2/f/d/a", "")}},
		"a file that is missing":     {21, []*mvccpb.Event{put(".v2/log", `{"a":"update","k":"/d/x","t":1}`), put(".v2/f/d/x", ""), put("/d/x", "1")}},
		"a parent that is missing":   {21, []*mvccpb.Event{put(".v2/log", `{"a":"set","k":"/x/y","t":1}`), put(".v2/f/x/y", ""), put("/x/y", "1")}},
		"the record of another file": {21, []*mvccpb.Event{put(".v2/log", `{"a":"set","k":"/d/a","t":1}`), put(".v2/f/d/b", ""), put("/d/a", "1")}},
		"a record that is none":      {21, []*mvccpb.Event{put(".v2/log", `{"a":"set","k":"/d/a","t":1}`), put(".v2/f/d/a", "x"), put("/d/a", "1")}},
		"another generation":         {21, []*mvccpb.Event{put(".v2/meta", `{"schema":1,"min_read":1,"min_write":1,"generation":"h"}`)}},
		"another offset":             {21, []*mvccpb.Event{put(".v2/meta", `{"schema":1,"min_read":1,"min_write":1,"generation":"g","offset":1}`)}},
		"a newer layout":             {21, []*mvccpb.Event{put(".v2/meta", `{"schema":9,"min_read":2,"min_write":2,"generation":"g"}`)}},
		"a description that is none": {21, []*mvccpb.Event{put(".v2/meta", "x")}},
		"no description":             {21, []*mvccpb.Event{remove(".v2/meta")}},
		"a queue that is none":       {21, []*mvccpb.Event{put(".v2/q/d", "x")}},
	} {
		if e, err := apply(small(t), test.number, test.events...); err == nil {
			t.Errorf("%s: got the event %+v, want an error", what, e)
		}
	}
}

func TestARevisionThatIsNoEventIsNoted(t *testing.T) {
	m := small(t)
	for number, e := range map[int64]*mvccpb.Event{21: put(".v2/s/1", "x"), 22: put(".v2/keeper", "1"), 23: put(".v2/q/d", "9"),
		24: put(".v2/meta", `{"schema":2,"min_read":1,"min_write":2,"generation":"g"}`), 25: put("/other", "1"), 26: remove("/foreign")} {
		m.Applied = number - 1
		if event, err := apply(m, number, e); err != nil || event != nil {
			t.Errorf("revision %d: got the event %+v and the error %v", number, event, err)
		}
	}
	if len(m.Control) != 2 || m.Queues["/d"] != (mirror.Queue{Name: 9, Revision: 23}) || m.Meta.MinWrite != 2 || m.MetaRevision != 24 || m.Doubtful {
		t.Errorf("got %+v", m)
	}
	if _, found := m.Foreign["/other"]; !found || len(m.Foreign) != 1 {
		t.Errorf("got the foreign values %v, want /other", m.Foreign)
	}
	m.Applied, m.Replaying = 30, false
	_, err := apply(m, 31, remove(".v2/s/1"), remove(".v2/q/d"))
	if err != nil || len(m.Control) != 1 || len(m.Queues) != 0 {
		t.Errorf("got %v and %v, and the error %v", m.Control, m.Queues, err)
	}
	if _, err := apply(m, 32, put("/d/a", "2")); err != nil || !m.Doubtful {
		t.Errorf("a client of v3 changed a file: doubtful is %v, and the error %v", m.Doubtful, err)
	}
}

func TestAReplayDoesNotFollowWhatClientsOfV3DidToNodes(t *testing.T) {
	m := small(t)
	m.Replaying = true
	if _, err := apply(m, 21, put("/other", "1")); err != nil {
		t.Error(err)
	}
	if _, err := apply(m, 22, put("/d/a", "2")); err == nil {
		t.Error("got no error")
	}
}

func TestValuesOfClientsOfV3AreProtected(t *testing.T) {
	m := small(t)
	m.Foreign["/d/x/y"], m.Foreign["/e"] = struct{}{}, struct{}{}
	for key, want := range map[string]bool{"/d": true, "/d/x": true, "/d/x/y": false, "/d/a": false, "/e": false, "/d/xx": false, "/forei": false} {
		if got := m.Protects(&v2store.Change{Action: v2store.Delete, Key: key, Below: true}); got != want {
			t.Errorf("a recursive removal of %s is prevented: %v, want %v", key, got, want)
		}
		if m.Protects(&v2store.Change{Action: v2store.Delete, Key: key}) {
			t.Errorf("a removal of %s alone is prevented", key)
		}
	}
	for key, want := range map[string]bool{"/foreign": true, "/d/x/y": true, "/d/x": false, "/d/a": false} {
		if got := m.Protects(&v2store.Change{Action: v2store.Set, Key: key, Put: &v2store.Record{Key: key}}); got != want {
			t.Errorf("a file at %s is prevented: %v, want %v", key, got, want)
		}
	}
}

func TestADirectoryAndAForeignValueMayHaveOneKey(t *testing.T) {
	m := small(t)
	if _, err := apply(m, 21, put(".v2/log", `{"a":"set","k":"/foreign","t":1}`), put(".v2/d/foreign", "")); err != nil {
		t.Fatal(err)
	}
	if _, found := m.Foreign["/foreign"]; !found {
		t.Error("the foreign value was forgotten")
	}
	if m.Protects(&v2store.Change{Action: v2store.Set, Key: "/foreign", Put: &v2store.Record{Key: "/foreign", Dir: true}}) {
		t.Error("a directory beside the foreign value is prevented")
	}
	if !m.Protects(&v2store.Change{Action: v2store.Set, Key: "/foreign", Put: &v2store.Record{Key: "/foreign"}}) {
		t.Error("the foreign value is not protected any more")
	}
}

func TestAnEventIsRenderedOnce(t *testing.T) {
	m := small(t)
	e, err := apply(m, 21, put(".v2/log", deleteD), remove(".v2/d/d"), remove(".v2/f/d/a"), remove(".v2/f/d/b"), remove("/d/a"), remove("/d/b"))
	if err != nil {
		t.Fatal(err)
	}
	first := m.Keep(mirror.NewEvent(e))
	if m.Keep(mirror.NewEvent(e)) != first {
		t.Error("the event was rendered twice")
	}
	if got, want := string(first.Body), string(e.Body()); got != want {
		t.Errorf("got the body %s, want %s", got, want)
	}
	if got, want := string(first.Chunked), "c6\r\n"+string(first.Body)+"\r\n0\r\n\r\n"; got[4:] != want[4:] || !strings.Contains(got[:4], "\r\n") {
		t.Errorf("got the chunk %q, want %q", got, want)
	}
	if len(m.Extras) != 0 {
		t.Errorf("the unknown fields of removed nodes are kept: %v", m.Extras)
	}
}

// TestAForeignValueThatAnEventTookIsForgotten has events that clients of v3 were not protected from,
// because their values came at the same time.
func TestAForeignValueThatAnEventTookIsForgotten(t *testing.T) {
	m := small(t)
	m.Foreign["/d/x"] = struct{}{}
	if _, err := apply(m, 21, put(".v2/log", `{"a":"set","k":"/foreign","t":1}`), put(".v2/f/foreign", ""), put("/foreign", "2")); err != nil {
		t.Fatal(err)
	}
	if _, err := apply(m, 22, put(".v2/log", deleteD), remove(".v2/d/d"), remove(".v2/f/d/a"), remove(".v2/f/d/b"), remove("/d/a"), remove("/d/b"), remove("/d/x")); err != nil {
		t.Fatal(err)
	}
	if len(m.Foreign) != 0 {
		t.Errorf("got the foreign values %v, want none", m.Foreign)
	}
}

func TestNothingIsProtectedWithoutForeignValues(t *testing.T) {
	m := small(t)
	clear(m.Foreign)
	for _, c := range []v2store.Change{{Action: v2store.Delete, Key: "/d", Below: true}, {Action: v2store.Delete, Key: "/d/a"}, {Action: v2store.Set, Key: "/d/a", Put: &v2store.Record{Key: "/d/a"}}} {
		if m.Protects(&c) {
			t.Errorf("%s of %s is prevented", c.Action, c.Key)
		}
	}
}

// heard is a watch that keeps the indexes of its events.
type heard struct{ indexes []uint64 }

func (h *heard) Receive(e *v2store.Event) { h.indexes = append(h.indexes, e.Index) }

func TestAnEventReachesItsWatchesAndThoseThatComeLate(t *testing.T) {
	m := small(t)
	watch := func(since uint64) *heard {
		h := &heard{}
		if _, refused := m.Watches.Start(&v2store.Operation{Action: v2store.Get, Key: "/d", Recursive: true, Since: since}, m.Tree, m.History, h); refused != nil {
			t.Fatal(refused)
		}
		return h
	}
	early := watch(0)
	e, err := apply(m, 21, put(".v2/log", `{"a":"set","k":"/d/a","t":1}`), put(".v2/f/d/a", ""), put("/d/a", "2"))
	if err != nil {
		t.Fatal(err)
	}
	for what, h := range map[string]*heard{"a watch": early, "a late watch": watch(e.Index)} {
		if len(h.indexes) != 1 || h.indexes[0] != e.Index {
			t.Errorf("%s received the events %v, want that of the index %d", what, h.indexes, e.Index)
		}
	}
	if n := m.Watches.Len(); n != 0 {
		t.Errorf("%d watches wait, want none", n)
	}
}

func TestAnEventIsKeptOnce(t *testing.T) {
	m := small(t)
	e, err := apply(m, 21, put(".v2/log", `{"a":"set","k":"/d/a","t":1}`), put(".v2/f/d/a", ""), put("/d/a", "2"))
	if err != nil {
		t.Fatal(err)
	}
	first := m.Keep(mirror.NewEvent(e))
	bytes := m.RenderedBytes()
	if again := m.Keep(mirror.NewEvent(e)); again != first || m.RenderedBytes() != bytes || bytes != len(first.Chunked) {
		t.Errorf("keeping an event again: got another one or %d bytes, want the same one and %d", m.RenderedBytes(), bytes)
	}
}
