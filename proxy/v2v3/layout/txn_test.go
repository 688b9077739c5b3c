package layout_test

import (
	"fmt"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// TestEachFactIsItsCompares pins what a write rests on in the store.
func TestEachFactIsItsCompares(t *testing.T) {
	for want, fact := range map[string]v2store.Fact{
		"version p.v2/d/a > 0":                       {Kind: v2store.DirExists, Key: "/a"},
		"version p.v2/f/a > 0":                       {Kind: v2store.FileExists, Key: "/a"},
		"version p.v2/d/a = 0":                       {Kind: v2store.NoDir, Key: "/a"},
		"version p.v2/d/a = 0, version p.v2/f/a = 0": {Kind: v2store.Absent, Key: "/a"},
		"version p.v2/d/a/..p.v2/d/a0 = 0, version p.v2/f/a/..p.v2/f/a0 = 0": {Kind: v2store.Empty, Key: "/a"},
		"modified p.v2/f/a = 107": {Kind: v2store.Recorded, Key: "/a", Index: 7},
		"modified p.v2/d/a = 107": {Kind: v2store.Recorded, Key: "/a", Index: 7, Dir: true},
		"modified p.v2/log = 107": {Kind: v2store.LastIndex, Index: 7},
	} {
		tx := layout.Txn{Keys: "p", Meta: &layout.Meta{Offset: -100}}
		tx.Facts([]v2store.Fact{fact})
		if got := compares(tx.Compare); got != want {
			t.Errorf("%+v is compared as %s, want %s", fact, got, want)
		}
	}
}

// TestCommandsCompareKeysOfTheirOwn pins the compares that belong to no fact.
func TestCommandsCompareKeysOfTheirOwn(t *testing.T) {
	for want, add := range map[string]func(*layout.Txn){
		"modified k = 5":    func(tx *layout.Txn) { tx.Modified([]byte("k"), 5) },
		"value k = v":       func(tx *layout.Txn) { tx.Value([]byte("k"), []byte("v")) },
		"version k..l = 0":  func(tx *layout.Txn) { tx.Vacant([]byte("k"), []byte("l")) },
		"value k = v again": func(tx *layout.Txn) { tx.Value([]byte("k"), []byte("v again")) },
	} {
		var tx layout.Txn
		if add(&tx); compares(tx.Compare) != want {
			t.Errorf("got the compares %s, want %s", compares(tx.Compare), want)
		}
	}
}

// TestTheFactsOfARemovalSayWhatIsRemoved has facts about other keys, and about files.
func TestTheFactsOfARemovalSayWhatIsRemoved(t *testing.T) {
	for _, test := range []struct {
		facts []v2store.Fact
		dir   bool
	}{
		{nil, false},
		{[]v2store.Fact{{Kind: v2store.DirExists, Key: "/a"}}, true},
		{[]v2store.Fact{{Kind: v2store.Recorded, Key: "/a", Dir: true}}, true},
		{[]v2store.Fact{{Kind: v2store.Recorded, Key: "/a"}}, false},
		{[]v2store.Fact{{Kind: v2store.FileExists, Key: "/a"}}, false},
		{[]v2store.Fact{{Kind: v2store.FileExists, Key: "/a", Dir: true}}, false},
		{[]v2store.Fact{{Kind: v2store.DirExists, Key: "/"}, {Kind: v2store.FileExists, Key: "/a"}}, false},
		{[]v2store.Fact{{Kind: v2store.Recorded, Key: "/b", Dir: true}, {Kind: v2store.FileExists, Key: "/a"}}, false},
		{[]v2store.Fact{{Kind: v2store.LastIndex}, {Kind: v2store.DirExists, Key: "/a"}}, true},
	} {
		tx := layout.Txn{Keys: "p", Meta: &layout.Meta{}}
		tx.Change(&v2store.Change{Action: v2store.Delete, Key: "/a", Facts: test.facts}, nil)
		want := "p/a"
		if test.dir {
			want = "p.v2/d/a"
		}
		if got := string(tx.Success[0].GetRequestDeleteRange().Key); got != want || len(tx.Success) != 2 {
			t.Errorf("with the facts %+v: the first of %d operations deletes %s, want %s", test.facts, len(tx.Success), got, want)
		}
	}
}

func compares(list []*pb.Compare) string {
	var words []string
	for _, c := range list {
		key := string(c.Key)
		if c.RangeEnd != nil {
			key += ".." + string(c.RangeEnd)
		}
		result := map[pb.Compare_CompareResult]string{pb.Compare_EQUAL: "=", pb.Compare_GREATER: ">"}[c.Result]
		switch c.Target {
		case pb.Compare_VERSION:
			words = append(words, fmt.Sprintf("version %s %s %d", key, result, c.GetVersion()))
		case pb.Compare_MOD:
			words = append(words, fmt.Sprintf("modified %s %s %d", key, result, c.GetModRevision()))
		case pb.Compare_VALUE:
			words = append(words, fmt.Sprintf("value %s %s %s", key, result, c.GetValue()))
		}
	}
	return strings.Join(words, ", ")
}

// TestAChangeHasNoMoreOperationsThanEtcdAllows has the deepest key that the proxy forwards.
func TestAChangeHasNoMoreOperationsThanEtcdAllows(t *testing.T) {
	tx := layout.Txn{}
	var dirs []string
	for i := 1; i < 100; i++ {
		dirs = append(dirs, strings.Repeat("/d", i))
	}
	key := strings.Repeat("/d", 100)
	tx.Change(&v2store.Change{Action: v2store.Create, Key: key, Dirs: dirs, Put: &v2store.Record{Key: key}}, nil)
	// The log and the queue come too.
	if got := len(tx.Success) + 2; got > 128 {
		t.Errorf("got %d operations, want at most 128", got)
	}
}
