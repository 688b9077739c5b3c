package v2state

import "testing"

// TestARefusedChangeOfMembersChangesNothing has changes that etcd refuses when they are applied, because another
// one was faster.
func TestARefusedChangeOfMembersChangesNothing(t *testing.T) {
	tree, err := emptyStore()
	if err != nil {
		t.Fatal(err)
	}
	a := &applier{tree: tree}
	for _, c := range []struct {
		what    string
		kind    uint64
		member  uint64
		context string
		raises  uint64
	}{
		{"the first member", addMember, 1, `{"id":1,"peerURLs":["http://a"]}`, 1},
		{"the same member again", addMember, 1, `{"id":1,"peerURLs":["http://b"]}`, 0},
		{"a member with the URL of another", addMember, 2, `{"id":2,"peerURLs":["http://a"]}`, 0},
		{"a learner", addLearner, 2, `{"id":2,"peerURLs":["http://b"],"isLearner":true}`, 1},
		{"a second learner", addLearner, 3, `{"id":3,"peerURLs":["http://c"],"isLearner":true}`, 0},
		{"a promotion of a member", addMember, 1, `{"id":1,"peerURLs":["http://a"],"isPromote":true}`, 0},
		{"a promotion of nobody", addMember, 9, `{"id":9,"isPromote":true}`, 0},
		{"an update to the URL of another", updateMember, 2, `{"id":2,"peerURLs":["http://a"]}`, 0},
		{"an update", updateMember, 2, `{"id":2,"peerURLs":["http://d"]}`, 1},
		{"a promotion", addMember, 2, `{"id":2,"peerURLs":["http://d"],"isPromote":true}`, 1},
		{"a second promotion", addMember, 2, `{"id":2,"peerURLs":["http://d"],"isPromote":true}`, 0},
		{"an update of nobody", updateMember, 9, `{"id":9,"peerURLs":["http://e"]}`, 0},
		{"a removal", removeMember, 2, "", 2},
		{"a second removal", removeMember, 2, "", 0},
		{"a removal of nobody", removeMember, 9, "", 0},
		{"a member that was removed", addMember, 2, `{"id":2,"peerURLs":["http://f"]}`, 0},
	} {
		before := tree.Index()
		if err := a.change(&change{kind: c.kind, member: c.member, context: []byte(c.context)}); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if got := tree.Index() - before; got != c.raises {
			t.Errorf("%s raises the index by %d, want %d", c.what, got, c.raises)
		}
	}
	if err := a.change(&change{kind: addMember, member: 7, context: []byte("x")}); err == nil {
		t.Error("a change that is not JSON: got no error")
	}
	if err := a.setAttributes("2", "{}"); err != nil || a.exists(membersKey+"/2") {
		t.Errorf("attributes of a member that was removed: got %v, want that nothing changes", err)
	}
}
