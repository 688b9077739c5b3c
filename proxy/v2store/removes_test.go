package v2store

import "testing"

func TestAChangeKnowsHowManyNodesItRemoves(t *testing.T) {
	tree := New(0)
	for _, key := range []string{"/d/a/1", "/d/a/_2", "/d/_h/3", "/d/b", "/e"} {
		write(t, tree, "PUT", key, "value=1")
	}
	write(t, tree, "PUT", "/e", "dir=true")
	check := func(want map[string]int) {
		t.Helper()
		for key, n := range want {
			if got := (&Change{Action: Delete, Key: key, Below: true}).Removes(tree); got != n {
				t.Errorf("removing %s: got %d nodes, want %d", key, got, n)
			}
		}
	}
	check(map[string]int{"/d": 7, "/d/a": 3, "/d/_h": 2, "/d/b": 1, "/e": 1, "/none": 0})
	write(t, tree, "DELETE", "/d/a", "recursive=true")
	write(t, tree, "DELETE", "/d/b", "")
	check(map[string]int{"/d": 3, "/d/a": 0, "/d/_h": 2})
	if got := tree.root.below(); got != tree.Len() {
		t.Errorf("below the root: got %d nodes, want %d", got, tree.Len())
	}
	if got := (&Change{Action: Set, Key: "/d", Put: &Record{}}).Removes(tree); got != 0 {
		t.Errorf("a change that removes nothing: got %d nodes, want none", got)
	}
}
