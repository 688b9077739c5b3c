package mirror_test

import (
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

// stored are the keys of small, as the store has them. A change without a value removes a key.
func stored(changes ...*mvccpb.KeyValue) []*mvccpb.KeyValue {
	var kvs []*mvccpb.KeyValue
	for _, key := range []string{".v2/d/d", ".v2/f/d/a", ".v2/f/d/b", ".v2/log", ".v2/q/d", "/d/a", "/d/b", "/foreign"} {
		kv := &mvccpb.KeyValue{Key: []byte(key), ModRevision: 20}
		for _, c := range changes {
			if string(c.Key) == key {
				kv = c
			}
		}
		if kv.ModRevision > 0 {
			kvs = append(kvs, kv)
		}
	}
	for _, c := range changes {
		if c.Version > 0 { // a key that small does not have
			kvs = append(kvs, c)
		}
	}
	return kvs
}

// at is a key that was put at a revision; 0 if it is gone.
func at(key string, revision int64) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: []byte(key), ModRevision: revision}
}

// more is a key that is not among those of small.
func more(key string, revision int64) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: []byte(key), ModRevision: revision, Version: 1}
}

func TestEachDifferenceIsFound(t *testing.T) {
	for what, test := range map[string]struct {
		kvs  []*mvccpb.KeyValue
		want string
	}{
		"the same keys":               {stored(), ""},
		"another queue":               {stored(at(".v2/q/d", 25)), ""},
		"a session":                   {stored(more(".v2/s/1", 25)), ""},
		"another last event":          {stored(at(".v2/log", 21)), `the last event is another one in the store: ".v2/log"`},
		"a newer record":              {stored(at(".v2/f/d/a", 21)), `the record of a node is another one in the store: "/d/a"`},
		"an older record":             {stored(at(".v2/d/d", 19)), `the record of a node is another one in the store: "/d"`},
		"a directory for a file":      {stored(at(".v2/f/d/a", 0), more(".v2/d/d/a", 20)), `the record of a node is another one in the store: "/d/a"`},
		"a file for a directory":      {stored(at(".v2/d/d", 0), more(".v2/f/d", 20)), `the record of a node is another one in the store: "/d"`},
		"a node more":                 {stored(more(".v2/f/d/c", 20)), `the record of a node is another one in the store: "/d/c"`},
		"a node less":                 {stored(at(".v2/f/d/a", 0)), "the mirror has 3 nodes, and the store 2"},
		"a directory less":            {stored(at(".v2/d/d", 0)), "the mirror has 3 nodes, and the store 2"},
		"a value less":                {stored(at("/d/a", 0)), "the store has 2 files, and values of 1"},
		"a newer value":               {stored(at("/d/a", 21)), `the value of a file was changed by a client of v3: "/d/a"`},
		"an older value":              {stored(at("/d/a", 5)), ""}, // its record was refreshed
		"a foreign value less":        {stored(at("/foreign", 0)), ""},
		"a newer foreign value":       {stored(at("/foreign", 30)), ""},
		"an unknown value":            {stored(more("/other", 20)), `the store has a value that the mirror does not know: "/other"`},
		"a value of a directory":      {stored(more("/d", 20)), `the store has a value that the mirror does not know: "/d"`},
		"two differences":             {stored(at(".v2/f/d/a", 21), at("/d/b", 21)), `the record of a node is another one in the store: "/d/a"`},
		"nothing":                     {nil, "the mirror has 3 nodes, and the store 0"},
		"a value and a foreign value": {stored(at("/d/a", 0), more("/d/c", 20)), `the store has a value that the mirror does not know: "/d/c"`},
	} {
		m := small(t)
		c := m.StartComparison()
		for _, kv := range test.kvs {
			c.Compare([]*mvccpb.KeyValue{kv})
		}
		if got := c.Difference(); got != test.want || c.Revision != 20 {
			t.Errorf("%s: got the difference %q at the revision %d, want %q", what, got, c.Revision, test.want)
		}
	}
}

// TestWhatChangesDuringAComparisonIsNoDifference compares the keys from before with a mirror that goes on.
func TestWhatChangesDuringAComparisonIsNoDifference(t *testing.T) {
	for what, test := range map[string]struct {
		events []*mvccpb.Event
	}{
		"a file":               {[]*mvccpb.Event{put(".v2/log", `{"a":"set","k":"/d/a","t":1}`), put(".v2/f/d/a", ""), put("/d/a", "2")}},
		"a new file":           {[]*mvccpb.Event{put(".v2/log", `{"a":"set","k":"/x/y","t":1}`), put(".v2/d/x", ""), put(".v2/f/x/y", ""), put("/x/y", "2")}},
		"a removal":            {[]*mvccpb.Event{put(".v2/log", deleteD), remove(".v2/d/d"), remove(".v2/f/d/a"), remove(".v2/f/d/b"), remove("/d/a"), remove("/d/b")}},
		"a foreign value":      {[]*mvccpb.Event{put("/other", "1")}},
		"a foreign value less": {[]*mvccpb.Event{remove("/foreign")}},
		"a value of v3":        {[]*mvccpb.Event{put("/d/a", "2")}},
	} {
		m := small(t)
		m.Replaying = false
		c := m.StartComparison()
		if _, err := apply(m, 21, test.events...); err != nil {
			t.Fatal(err)
		}
		c.Compare(stored())
		if got := c.Difference(); got != "" {
			t.Errorf("%s: got the difference %q, want none", what, got)
		}
		c.Stop()
		// The next comparison does not know of it. A value of v3 is not in the mirror, and may be anywhere.
		c = m.StartComparison()
		c.Compare(stored())
		if got := c.Difference(); got == "" && !strings.Contains(what, "v3") && what != "a foreign value" {
			t.Errorf("%s: got no difference from the keys of before in the next comparison", what)
		}
	}
}

func TestAMirrorRemembersNothingWithoutAComparison(t *testing.T) {
	m := small(t)
	c := m.StartComparison()
	c.Stop()
	if _, err := apply(m, 21, put(".v2/log", `{"a":"set","k":"/d/a","t":1}`), put(".v2/f/d/a", ""), put("/d/a", "2")); err != nil {
		t.Fatal(err)
	}
	c.Compare(stored())
	if got := c.Difference(); !strings.Contains(got, "/d/a") {
		t.Errorf("got the difference %q, want that of the file", got)
	}
}

// damaged are keys with a file that has no value, and nodes without a parent.
func damaged() []*mvccpb.KeyValue {
	return []*mvccpb.KeyValue{at(".v2/d/a", 20), at(".v2/d/x/y", 20), at(".v2/f/a/b", 20), at(".v2/f/a/c", 20), at(".v2/f/a/d", 20), at(".v2/f/z/z", 20),
		{Key: []byte(".v2/log"), Value: []byte(`{"a":"none"}`), ModRevision: 20}, {Key: []byte(".v2/s/1"), Value: []byte(`{}`), ModRevision: 20},
		{Key: []byte("/a/a"), Value: []byte("foreign"), ModRevision: 20}, {Key: []byte("/a/c"), Value: []byte("v"), ModRevision: 25}, {Key: []byte("/z/z"), Value: []byte("w"), ModRevision: 20}}
}

func TestDamagedNodesAreLeftOut(t *testing.T) {
	l := mirror.NewLoading("", layout.Schema, 7, &layout.Meta{Schema: 1, MinRead: 1, MinWrite: 1}, 1, 30)
	if err := l.Add(damaged()[:5]); err != nil {
		t.Fatal(err)
	}
	if m, _, err := l.Finish(); m != nil || err == nil {
		t.Errorf("without a log: got the error %v, want one", err)
	}
	if err := l.Add(damaged()[5:]); err != nil {
		t.Fatal(err)
	}
	m, left, err := l.Finish()
	if err != nil || strings.Join(left, " ") != "/x/y /a/b /a/d /z/z" {
		t.Fatalf("left out %q, %v, want the nodes without a parent or a value", left, err)
	}
	if m.Tree.Len() != 2 || m.Cluster != 7 || m.Applied != 30 || !m.Replaying || m.LogRevision != 20 || string(m.Log) != `{"a":"none"}` || m.MetaRevision != 1 {
		t.Errorf("got %+v with %d nodes, want /a and /a/c", m, m.Tree.Len())
	}
	if _, found := m.Foreign["/a/a"]; !found || len(m.Foreign) != 1 || len(m.Control) != 1 || m.Control[".v2/s/1"] == nil {
		t.Errorf("got the foreign values %v and the sessions %v, want one of each", m.Foreign, m.Control)
	}
	// They are no difference, and neither is the value that was newer than its record.
	c := m.StartComparison()
	c.Compare(damaged())
	if got := c.Difference(); got != "" {
		t.Errorf("got the difference %q, want none", got)
	}
	c = m.StartComparison()
	newer := damaged()
	newer[9].ModRevision = 26
	c.Compare(newer)
	if got := c.Difference(); !strings.Contains(got, `changed by a client of v3: "/a/c"`) {
		t.Errorf("got the difference %q, want that the value was changed again", got)
	}
}

func TestTheLastFilesAreLeftOutIfTheyHaveNoValue(t *testing.T) {
	l := mirror.NewLoading("", layout.Schema, 7, &layout.Meta{Schema: 1, MinRead: 1, MinWrite: 1}, 1, 30)
	kvs := []*mvccpb.KeyValue{{Key: []byte(".v2/log"), Value: []byte(`{"a":"none"}`), ModRevision: 20}, at(".v2/f/a", 20), at(".v2/f/b", 20), at(".v2/f/c", 20), at("/a", 20)}
	if err := l.Add(kvs); err != nil {
		t.Fatal(err)
	}
	m, left, err := l.Finish()
	if err != nil || strings.Join(left, " ") != "/b /c" || m.Tree.Len() != 1 {
		t.Fatalf("left out %q, %v, want /b and /c", left, err)
	}
	c := m.StartComparison()
	c.Compare(kvs)
	if got := c.Difference(); got != "" {
		t.Errorf("got the difference %q, want none", got)
	}
}

func TestAValueIsNotLoadedBeforeTheLog(t *testing.T) {
	for _, key := range []string{"/a", "/foreign"} {
		l := mirror.NewLoading("", layout.Schema, 1, &layout.Meta{}, 1, 20)
		if err := l.Add([]*mvccpb.KeyValue{at(".v2/f/a", 20), at(key, 20)}); err == nil {
			t.Errorf("%s: got no error", key)
		}
	}
}

func TestKeysThatCannotBeReadAreAnError(t *testing.T) {
	for _, kv := range []*mvccpb.KeyValue{{Key: []byte(".v2/f/a"), Value: []byte("x")}, {Key: []byte(".v2/d/a"), Value: []byte("x")}, {Key: []byte(".v2/q/a"), Value: []byte("x")}} {
		l := mirror.NewLoading("", layout.Schema, 1, &layout.Meta{}, 1, 20)
		if err := l.Add([]*mvccpb.KeyValue{kv}); err == nil {
			t.Errorf("%s: got no error", kv.Key)
		}
	}
}

func TestUnknownFieldsAreThoseOfTheNode(t *testing.T) {
	m := small(t)
	if got := m.Extra("/d/b", false); string(got["new"]) != "1" || m.Extra("/d/b", true) != nil || m.Extra("/d/a", false) != nil {
		t.Errorf("got the unknown fields %s of the file, want those of its record alone", got)
	}
	for number, test := range []struct {
		record, value string
		dir           bool
		want          string
	}{{".v2/f/d/b", `{"newer":2}`, false, "2"}, {".v2/f/d/b", "", false, ""}, {".v2/d/d/b", `{"newer":3}`, true, "3"}} {
		events := []*mvccpb.Event{put(".v2/log", `{"a":"set","k":"/d/b","t":1}`), put(test.record, test.value)}
		if test.dir {
			events = append(events, remove(".v2/f/d/b"), remove("/d/b"))
		} else {
			events = append(events, put("/d/b", "2"))
		}
		if _, err := apply(m, int64(21+number), events...); err != nil {
			t.Fatal(err)
		}
		if got := m.Extra("/d/b", test.dir); string(got["newer"]) != test.want || m.Extra("/d/b", !test.dir) != nil || got["new"] != nil {
			t.Errorf("%s: got the unknown fields %s, want %q", test.record, got, test.want)
		}
	}
}

func TestTheUnknownFieldsOfANodeAreForgottenWithIt(t *testing.T) {
	m := small(t)
	if _, err := apply(m, 21, put(".v2/log", deleteD), remove(".v2/d/d"), remove(".v2/f/d/a"), remove(".v2/f/d/b"), remove("/d/a"), remove("/d/b"), remove(".v2/q/d")); err != nil {
		t.Fatal(err)
	}
	if len(m.Extras) != 0 {
		t.Errorf("the unknown fields without their node: got %v, want none", m.Extras)
	}
}
