package acl

import "testing"

func TestTheTableListsEachRuleOnceInTheOrderOfKeys(t *testing.T) {
	prefixes := func(rules ...Rule) (all string) {
		for _, rule := range mustCompile(t, MatchSegments, rules...).All() {
			all += string(rule.Prefix) + " "
		}
		return all
	}
	got := prefixes(open("/b"), open("/a/c/d", "x"), open("/"), open("/a", "y"), open("/a-b"), open("/ab"))
	if want := "/ /a /a/c/d /a-b /ab /b "; got != want {
		t.Errorf("All: got the prefixes %q, want %q", got, want)
	}
	rules := mustCompile(t, MatchSegments, open("/a"))
	all := rules.All()
	if len(all) != 2 {
		t.Fatalf("All without a rule for the root: got %d rules, want 2", len(all))
	}
	if root := all[0]; root.Prefix != Root || !root.Implied() || root != rules.Governing("/x") {
		t.Errorf("All without a rule for the root: got %+v first, want the implied rule, which governs /x", *root)
	}
	if all[0].Write.Has("root") || !all[0].Read.IsEveryone() {
		t.Errorf("the implied rule: got %+v, want everyone to read and no one to write", *all[0])
	}
	if all[1].Implied() {
		t.Error("Implied of a rule of the table: got true, want false")
	}
}

func TestRulesAreEqualIfTheySayTheSame(t *testing.T) {
	one := open("/a", "x", "y")
	for other, want := range map[*Rule]bool{
		{Prefix: "/a", Read: Everyone(), Write: Only("y", "x")}: true,
		{Prefix: "/b", Read: Everyone(), Write: Only("x", "y")}: false,
		{Prefix: "/a", Read: Everyone(), Write: Only("x")}:      false,
		{Prefix: "/a", Read: Everyone(), Write: Everyone()}:     false,
		{Prefix: "/a", Read: Only("x", "y"), Write: one.Write}:  false,
		{Prefix: "/a", Read: Only(), Write: one.Write}:          false,
	} {
		if got := one.Equal(other); got != want {
			t.Errorf("%+v equals %+v: got %t, want %t", one, *other, got, want)
		}
	}
}
