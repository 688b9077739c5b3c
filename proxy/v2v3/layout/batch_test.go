package layout_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// put returns a change of a batch that puts a file.
func put(index uint64, action v2store.Action, key, value string) layout.Batched {
	return layout.Batched{Index: index, Action: action, Key: key, Put: true, Created: 3, Modified: index, Value: &value}
}

// TestABatchIsReadBackAsItWasStored stores changes of which some replace others, and reads their events in both orders.
func TestABatchIsReadBackAsItWasStored(t *testing.T) {
	batch := []layout.Batched{
		put(5, v2store.Set, "/a", "one"), put(6, v2store.Update, "/a", "two"),
		put(7, v2store.Set, "/b", "gone"), {Index: 8, Action: v2store.Delete, Key: "/b"},
		{Index: 9, Action: v2store.Expire, Key: "/c"}, put(10, v2store.Create, "/c", "again"),
		{Index: 11, Action: v2store.Create, Key: "/d", Dir: true, Put: true, Created: 11, Modified: 11}, put(11, v2store.Set, "/d/e", ""),
		{Index: 12, Action: v2store.Delete, Key: "/d/f", Dir: true}, put(12, v2store.Set, "/d/f", "a file now"),
	}
	tx := layout.Txn{Keys: "p", Meta: &layout.Meta{}}
	tx.Batch(batch, 20, "s.12")
	list := events(tx.Success)
	for range 2 {
		r, err := tx.Keys.Read(30, list)
		if err != nil {
			t.Fatal(err)
		}
		if r.Change != nil || !reflect.DeepEqual(r.Batch, batch) || r.Entry.Origin != "s.12" || r.Entry.Time != 20 || len(r.Strange) != 0 {
			t.Errorf("got %+v, want the batch %+v", *r, batch)
		}
		slices.Reverse(list)
	}
	log := string(list[len(list)-1].Kv.Value)
	if strings.Contains(log, "two") || !strings.Contains(log, "one") {
		t.Errorf("the log is %s, want it to have only the values that are replaced", log)
	}
}

func TestABatchPutsAndDeletesEachKeyOnce(t *testing.T) {
	tx := layout.Txn{Meta: &layout.Meta{}}
	tx.Batch([]layout.Batched{put(5, v2store.Set, "/a", "1"), {Index: 6, Action: v2store.Delete, Key: "/a"}, put(7, v2store.Set, "/a", "2")}, 1, "s.7")
	var keys []string
	for _, o := range tx.Success {
		keys = append(keys, string(append(o.GetRequestPut().GetKey(), o.GetRequestDeleteRange().GetKey()...)))
	}
	if want := []string{".v2/f/a", "/a", ".v2/log"}; !slices.Equal(keys, want) {
		t.Errorf("a batch changes %q, want %q", keys, want)
	}
}
