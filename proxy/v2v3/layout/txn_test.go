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
