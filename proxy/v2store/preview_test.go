package v2store_test

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"etcd-tlsproxy/proxy/proxytest/v2draw"
	"etcd-tlsproxy/proxy/v2store"
)

func TestAPreviewIsTheEventThatFollows(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tree := v2store.New(0)
		for _, seed := range rapid.SliceOfN(v2draw.Seeds, 1, 100).Draw(rt, "seeds") {
			o, invalid := v2store.Parse(v2draw.New(seed).Request(drawn{tree}, v2draw.AnyLife), epoch)
			if invalid != nil || !o.Write() {
				continue
			}
			c, failure := v2store.Plan(o, tree, epoch)
			if failure != nil {
				continue
			}
			want := tree.Preview(c, tree.Index()+1)
			got, err := tree.Apply(c, tree.Index()+1)
			if err != nil {
				rt.Fatal(err)
			}
			got.Removed = nil
			if !reflect.DeepEqual(got, want) {
				rt.Fatalf("%+v: the preview is %+v of %+v, want %+v of %+v", o, want.Node, want.PrevNode, got.Node, got.PrevNode)
			}
		}
	})
}

func TestARecordIsTheStateOfANode(t *testing.T) {
	tree := v2store.New(5)
	want := v2store.Record{Key: "/a", Value: "1", Created: 2, Modified: 3, Recorded: 4}
	if err := tree.Load(want); err != nil {
		t.Fatal(err)
	}
	if got, found := tree.Record("/a"); got != want || !found {
		t.Errorf("got %+v (%t), want %+v", got, found, want)
	}
	for _, key := range []string{"", "/b"} {
		if got, found := tree.Record(key); found {
			t.Errorf("of %q: got %+v, want none", key, got)
		}
	}
}
