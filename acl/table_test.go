package acl

import "testing"

func TestTheTableListsEachRuleOnceInTheOrderOfKeys(t *testing.T) {
	prefixes := func(rules ...Rule) (all string) {
		for _, rule := range compile(t, MatchSegments, rules...).All() {
			all += string(rule.Prefix) + " "
		}
		return all
	}
	if got := prefixes(open("/b"), open("/a/c/d", "x"), open("/"), open("/a", "y"), open("/ab")); got != "/ /a /a/c/d /ab /b " {
		t.Errorf("the table is %q", got)
	}
	rules := compile(t, MatchSegments, open("/a"))
	if all := rules.All(); len(all) != 2 || all[0].Prefix != Root || all[0] != rules.Governing("/x") || all[0].Write.Has("root") {
		t.Errorf("without a rule for the root: %v", all)
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
	} {
		if one.Equal(other) != want {
			t.Errorf("%v equals %v: %v", one, *other, !want)
		}
	}
}
