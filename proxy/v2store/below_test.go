package v2store_test

import (
	"fmt"
	"slices"
	"testing"

	"etcd-tlsproxy/proxy/v2store"
)

func TestAllNodesBelowADirectoryAreListedFromTheTop(t *testing.T) {
	tree := v2store.New(0)
	for _, r := range []v2store.Record{
		{Key: "/d", Dir: true, Created: 1, Modified: 1}, {Key: "/d/_h", Dir: true, Created: 2, Modified: 3, Recorded: 4, Expires: 5},
		{Key: "/d/_h/x", Value: "1", Created: 6, Modified: 7}, {Key: "/d/f", Value: "2", Created: 8, Modified: 9}, {Key: "/e", Value: "3", Created: 9, Modified: 9},
	} {
		if err := tree.Load(r); err != nil {
			t.Fatal(err)
		}
	}
	keys := func(below string, most int) (list []string) {
		for r := range tree.Below(below) {
			if list = append(list, fmt.Sprint(r.Key, r.Dir, r.Value, r.Created, r.Modified, r.Expires)); len(list) == most {
				break
			}
		}
		return list
	}
	all := []string{"/dtrue1 1 0", "/d/_htrue2 3 5", "/d/_h/xfalse16 7 0", "/d/ffalse28 9 0", "/efalse39 9 0"}
	for most := 1; most <= len(all); most++ {
		if got := keys("", most); !slices.Equal(got, all[:most]) {
			t.Errorf("the first %d: got %q, want %q", most, got, all[:most])
		}
	}
	if got := keys("/d", 0); !slices.Equal(got, all[1:4]) {
		t.Errorf("below /d: got %q, want %q", got, all[1:4])
	}
	if got := append(keys("/e", 0), keys("/nothing", 0)...); len(got) != 0 {
		t.Errorf("below a file and below nothing: got %q, want nothing", got)
	}
}
