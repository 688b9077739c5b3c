package layout_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// events returns what a watch receives of operations, in which ranges contain the given keys.
func events(operations []*pb.RequestOp, below ...string) []*mvccpb.Event {
	var list []*mvccpb.Event
	for _, o := range operations {
		switch r := o.Request.(type) {
		case *pb.RequestOp_RequestPut:
			list = append(list, &mvccpb.Event{Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{Key: r.RequestPut.Key, Value: r.RequestPut.Value}})
		case *pb.RequestOp_RequestDeleteRange:
			if d := r.RequestDeleteRange; d.RangeEnd == nil {
				list = append(list, &mvccpb.Event{Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: d.Key}})
			}
		}
	}
	for _, key := range below {
		list = append(list, &mvccpb.Event{Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: []byte(key)}})
	}
	return list
}

// TestAChangeIsReadBackAsItWasStored stores each kind of change and reads its events in both orders.
func TestAChangeIsReadBackAsItWasStored(t *testing.T) {
	dir := []v2store.Fact{{Kind: v2store.DirExists, Key: "/d"}}
	for _, test := range []struct {
		change  v2store.Change
		below   []string
		removed int
	}{
		{change: v2store.Change{Action: v2store.Set, Key: "/a", Time: 5, Put: &v2store.Record{Key: "/a", Value: "x", Expires: 7}}},
		{change: v2store.Change{Action: v2store.Create, Key: "/a/b/c", Dirs: []string{"/a", "/a/b"}, Put: &v2store.Record{Key: "/a/b/c", Value: ""}}},
		{change: v2store.Change{Action: v2store.Set, Key: "/a", Refresh: true, KeepValue: true, Put: &v2store.Record{Key: "/a", Expires: 7}}},
		{change: v2store.Change{Action: v2store.Update, Key: "/d", Put: &v2store.Record{Key: "/d", Dir: true, Created: 3, Modified: 4, Expires: 7}}},
		{change: v2store.Change{Action: v2store.Set, Key: "/d", DropFile: true, Put: &v2store.Record{Key: "/d", Dir: true}}, removed: 1},
		{change: v2store.Change{Action: v2store.Delete, Key: "/a"}, removed: 1},
		{change: v2store.Change{Action: v2store.Delete, Key: "/d", Facts: dir}, removed: 1},
		{change: v2store.Change{Action: v2store.Delete, Key: "/d", Below: true, Facts: dir},
			below: []string{"p/d/f", "p.v2/f/d/f", "p.v2/d/d/e"}, removed: 3},
		{change: v2store.Change{Action: v2store.Expire, Key: "/d", Below: true, Facts: []v2store.Fact{{Kind: v2store.Recorded, Key: "/d", Dir: true}}},
			below: []string{"p/d/f", "p.v2/f/d/f"}, removed: 2},
	} {
		c := test.change
		tx := layout.Txn{Keys: "p", Meta: &layout.Meta{}}
		tx.Change(&c, nil)
		entry := layout.Entry{Action: c.Action, Key: c.Key, Time: c.Time, Refresh: c.Refresh, Origin: "s.1"}
		tx.Put(tx.Keys.Log(), entry.Encode())
		list := events(tx.Success, test.below...)
		for range 2 {
			r, err := tx.Keys.Read(9, list)
			if err != nil {
				t.Fatal(err)
			}
			want := c
			want.Facts = nil
			if r.Number != 9 || r.Removed != test.removed || !reflect.DeepEqual(*r.Entry, entry) || string(r.Log) != string(entry.Encode()) || len(r.Strange) != 0 || !reflect.DeepEqual(*r.Change, want) {
				t.Errorf("%+v is read as %+v, %+v", c, *r.Change, *r)
			}
			slices.Reverse(list)
		}
	}
}

// TestARemovalDeletesAllKeysOfItsNodes checks the keys that a removal deletes.
func TestARemovalDeletesAllKeysOfItsNodes(t *testing.T) {
	for want, c := range map[string]v2store.Change{
		"/a .v2/f/a": {Action: v2store.Delete, Key: "/a", Facts: []v2store.Fact{{Kind: v2store.FileExists, Key: "/a"}}},
		".v2/d/d .v2/q/d": {Action: v2store.Delete, Key: "/d", Facts: []v2store.Fact{
			{Kind: v2store.DirExists, Key: "/d"}, {Kind: v2store.Empty, Key: "/d"}}},
		".v2/d/d .v2/q/d /d/-/d0 .v2/f/d/-.v2/f/d0 .v2/d/d/-.v2/d/d0 .v2/q/d/-.v2/q/d0": {Action: v2store.Delete, Key: "/d", Below: true,
			Facts: []v2store.Fact{{Kind: v2store.DirExists, Key: "/d"}}},
	} {
		tx := layout.Txn{Meta: &layout.Meta{}}
		tx.Change(&c, nil)
		got := ""
		for _, o := range tx.Success {
			d := o.GetRequestDeleteRange()
			got += " " + string(d.Key)
			if d.RangeEnd != nil {
				got += "-" + string(d.RangeEnd)
			}
		}
		if got[1:] != want {
			t.Errorf("%+v deletes %s, want %s", c, got, want)
		}
	}
}

func TestOnlyAChangeThatKeepsTheNodeKeepsUnknownFields(t *testing.T) {
	extra := layout.Extra{"new": []byte("1")}
	for action, want := range map[v2store.Action]string{v2store.Set: "", v2store.Create: "", v2store.Update: `{"new":1}`, v2store.CompareAndSwap: `{"new":1}`} {
		tx := layout.Txn{Meta: &layout.Meta{}}
		tx.Change(&v2store.Change{Action: action, Key: "/a", Put: &v2store.Record{Key: "/a"}}, extra)
		if got := string(tx.Success[0].GetRequestPut().Value); got != want {
			t.Errorf("%s stores the record %s, want %s", action, got, want)
		}
	}
}

func TestChangesWithoutAnEventAreStrange(t *testing.T) {
	k := layout.Keys("")
	list := []*mvccpb.Event{
		{Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{Key: []byte("/a")}}, {Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: []byte(".v2/f/a")}},
		{Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{Key: []byte(".v2/d/a")}}, {Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: []byte(".v2/log")}},
		{Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{Key: []byte(".v2/s/x")}}, {Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{Key: []byte(".v2/new")}},
	}
	r, err := k.Read(5, list)
	if err != nil || r.Entry != nil || r.Change != nil || len(r.Strange) != 4 || len(r.Other) != 2 {
		t.Errorf("got %+v and the error %v, want 4 strange events and 2 others", r, err)
	}
	r, err = k.Read(6, append(list[:3:3], &mvccpb.Event{Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{Key: []byte(".v2/log"), Value: []byte(`{"a":"none"}`)}}))
	if err != nil || r.Entry == nil || r.Change != nil || len(r.Strange) != 0 {
		t.Errorf("a mark is read as %+v with the error %v", r, err)
	}
}

// TestTheValueOfAFileIsThatOfItsKey has a value of another key in the revision of an event.
func TestTheValueOfAFileIsThatOfItsKey(t *testing.T) {
	put := func(key, value string) *mvccpb.Event {
		return &mvccpb.Event{Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value)}}
	}
	list := []*mvccpb.Event{put("/0", "0"), put(".v2/f/a", ""), put("/a", "1"), put("/b", "2"), put(".v2/log", `{"a":"set","k":"/a"}`)}
	for range 2 {
		if r, err := layout.Keys("").Read(5, list); err != nil || r.Change.Put.Value != "1" || r.Change.KeepValue {
			t.Errorf("got %+v and the error %v, want the value 1", r, err)
		}
		slices.Reverse(list)
	}
	if r, err := layout.Keys("").Read(5, append(list[:2:2], list[3:]...)); err != nil || !r.Change.KeepValue || r.Change.Put.Value != "" {
		t.Errorf("without the value of the file: got %+v and the error %v, want that it keeps its value", r, err)
	}
}

func TestARevisionThatCannotBeReadIsAnError(t *testing.T) {
	const log = `{"a":"set","k":"/a"}`
	for what, puts := range map[string][][2]string{
		"a log that is none":                   {{".v2/log", "x"}},
		"a record that is none":                {{".v2/f/a", "x"}, {"/a", "1"}, {".v2/log", log}},
		"a record of a file that is not /a":    {{".v2/f/b", ""}, {".v2/log", log}},
		"a second record, of a file behind it": {{".v2/f/a", ""}, {"/a", "1"}, {".v2/f/a/b", ""}, {".v2/log", log}},
	} {
		var list []*mvccpb.Event
		for _, put := range puts {
			list = append(list, &mvccpb.Event{Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{Key: []byte(put[0]), Value: []byte(put[1])}})
		}
		if r, err := layout.Keys("").Read(5, list); err == nil || !strings.Contains(err.Error(), "the revision 5") {
			t.Errorf("%s: got %+v and the error %v, want an error that names the revision", what, r, err)
		}
	}
}

// TestAThawKeepsFieldsThatThisVersionDoesNotKnow has a description of a newer program.
func TestAThawKeepsFieldsThatThisVersionDoesNotKnow(t *testing.T) {
	m, err := layout.DecodeMeta([]byte(`{"schema":2,"min_read":1,"min_write":1,"offset":7,"state":"frozen","before":"live","generation":"g","newer":{"b":1,"a":[2]}}`))
	if err != nil {
		t.Fatal(err)
	}
	tx := layout.Txn{Keys: "p"}
	tx.Thaw(m)
	want := `{"generation":"g","min_read":1,"min_write":1,"newer":{"b":1,"a":[2]},"offset":7,"schema":2,"state":"live"}`
	if got := string(tx.Success[0].GetRequestPut().Value); got != want {
		t.Errorf("got the description %s, want %s", got, want)
	}
}

func TestAMetaIsDecodedAsItWasEncoded(t *testing.T) {
	want := layout.Meta{Schema: 1, MinRead: 1, MinWrite: 1, Offset: -5, State: layout.Live, Generation: "g"}
	got, err := layout.DecodeMeta(want.Encode())
	if err != nil || *got != want || got.Readable(1) != nil || got.Writable(1) != nil {
		t.Errorf("got %+v and the error %v, want %+v", got, err, want)
	}
	want.MinRead = 2
	if want.Readable(1) == nil || want.Writable(1) == nil || want.Writable(2) != nil {
		t.Error("a newer layout is readable or writable")
	}
	want.MinRead, want.MinWrite = 1, 2
	if want.Readable(1) != nil || want.Writable(1) == nil {
		t.Error("a layout that is to be read only is not readable, or is writable")
	}
	if n, err := layout.DecodeQueue(layout.EncodeQueue(1 << 63)); err != nil || n != 1<<63 {
		t.Errorf("got %d and the error %v", n, err)
	}
}
