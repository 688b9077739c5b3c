package acl

import (
	"reflect"
	"slices"
	"testing"
)

// groups returns every group of up to three users, and Everyone.
func groups() []Group {
	all := []Group{Everyone(), {}}
	for bits := range 8 {
		var names []string
		for i, name := range []string{"alice", "bob", "carol"} {
			if bits&(1<<i) != 0 {
				names = append(names, name)
			}
		}
		all = append(all, Only(names...))
	}
	return all
}

// clients are the users of these groups, one who is in none, and a client without a name.
var clients = []string{"alice", "bob", "carol", "mallory", ""}

func TestGroupsAreSets(t *testing.T) {
	for _, g := range groups() {
		for _, h := range groups() {
			both, subset := g.Intersect(h), true
			for _, name := range clients {
				if want := g.Has(name) && h.Has(name); both.Has(name) != want {
					t.Errorf("Has(%q) of the intersection of %v and %v: got %t, want %t", name, g, h, !want, want)
				}
				subset = subset && (!g.Has(name) || h.Has(name))
			}
			if got := g.isSubset(h); got != subset {
				t.Errorf("isSubset of %v and %v: got %t, want %t", g, h, got, subset)
			}
		}
	}
}

// A table of thousands of rules repeats the same groups. Each of their intersections would
// otherwise hold a set of its own.
func TestTheIntersectionWithALargerGroupIsTheSmallerGroup(t *testing.T) {
	small, large := Only("alice", "bob"), Only("alice", "bob", "carol")
	for what, both := range map[string]Group{"small and large": small.Intersect(large), "large and small": large.Intersect(small)} {
		if reflect.ValueOf(both.names).Pointer() != reflect.ValueOf(small.names).Pointer() {
			t.Errorf("the intersection, %s: got a copy of the small group, want the group itself", what)
		}
	}
}

func TestAClientWithoutANameIsOnlyInEveryone(t *testing.T) {
	for _, g := range append(groups(), Only("")) {
		if got := g.Has(""); got != g.IsEveryone() {
			t.Errorf("Has of a client without a name in %v: got %t, want %t", g, got, g.IsEveryone())
		}
	}
}

func TestTheNamesOfAGroupAreSorted(t *testing.T) {
	if got, want := Only("carol", "alice", "bob", "alice").Names(), []string{"alice", "bob", "carol"}; !slices.Equal(got, want) {
		t.Errorf("Names: got %q, want %q", got, want)
	}
	if got := Only().Names(); got == nil || len(got) > 0 {
		t.Errorf("Names of nobody: got %q, want an empty list that is not nil", got)
	}
	if got := Everyone().Names(); got != nil {
		t.Errorf("Names of everyone: got %q, want nil", got)
	}
}

func TestANameThatCouldBeReadAsSomethingElseIsQuoted(t *testing.T) {
	for name, want := range map[string]string{"root": "root", "a.b-c@d": "a.b-c@d", "nobody": `"nobody"`, "everyone": `"everyone"`, "no one": `"no one"`, "a, b": `"a, b"`, `a"`: `"a\""`} {
		if got := ShownName(name); got != want {
			t.Errorf("the name %q: got %s, want %s", name, got, want)
		}
	}
}
