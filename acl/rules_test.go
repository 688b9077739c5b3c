package acl

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// open is a rule that everyone may read. Only the writers may write, or everyone if
// there are none.
func open(prefix Key, writers ...string) Rule {
	r := Rule{Prefix: prefix, Read: Everyone(), Write: Only(writers...)}
	if len(writers) == 0 {
		r.Write = Everyone()
	}
	return r
}

func mustCompile(t interface{ Fatal(...any) }, match Match, rules ...Rule) *Rules {
	r, err := NewRules(match, rules...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seedRules is the table that the operators run with today.
func seedRules() []Rule {
	return []Rule{open("/", "root"), open("/conftool", "root", "conftool"), open("/eventlogging")}
}

// expectWriter checks whether user may write key.
func expectWriter(t *testing.T, rules *Rules, user string, key Key, want bool) {
	t.Helper()
	if got := rules.Allowed(Write, key).Has(user); got != want {
		t.Errorf("%q may write %v: got %t, want %t", user, key, got, want)
	}
}

// expectReader checks whether user may read key.
func expectReader(t *testing.T, rules *Rules, user string, key Key, want bool) {
	t.Helper()
	if got := rules.Allowed(Read, key).Has(user); got != want {
		t.Errorf("%q may read %v: got %t, want %t", user, key, got, want)
	}
}

// expectRefusing checks which rule refuses user to write key.
func expectRefusing(t *testing.T, rules *Rules, user string, key, want Key) {
	t.Helper()
	if got := rules.Refusing(Write, key, user); got == nil || got.Prefix != want {
		t.Errorf("the rule that refuses %q to write %v: got %+v, want that for %v", user, key, got, want)
	}
}

func TestTheSeedTable(t *testing.T) {
	rules := mustCompile(t, MatchSegments, seedRules()...)
	for _, key := range []Key{"/", "/x", "/conftool", "/conftool/v1/x", "/eventlogging", "/eventlogging/token/a"} {
		expectWriter(t, rules, "root", key, true)
		if !rules.Allowed(Read, key).IsEveryone() {
			t.Errorf("reading %v: got a group that needs an identity, want everyone", key)
		}
	}
	expectWriter(t, rules, "conftool", "/conftool", true)
	expectWriter(t, rules, "conftool", "/conftool/v1/pools", true)
	expectWriter(t, rules, "conftool", "/", false)
	expectWriter(t, rules, "conftool", "/conftoolX", false)
	expectWriter(t, rules, "conftool", "/conf", false)
	expectWriter(t, rules, "conftool", "/x", false)
	expectWriter(t, rules, "", "/eventlogging/token", true)
	expectWriter(t, rules, "", "/eventloggingX/token", false)
	expectWriter(t, rules, "", "/conftool", false)
	expectWriter(t, rules, "nobody", "/conftool/x", false)
}

func TestWritingAnAncestorNeedsEveryRuleBelow(t *testing.T) {
	rules := mustCompile(t, MatchSegments, open("/", "root"), open("/conftool", "conftool"), open("/conftool/v1/pools/a", "conftool", "pool-a"))
	expectWriter(t, rules, "root", "/", false)
	expectRefusing(t, rules, "root", "/", "/conftool")
	// A directory between two rules.
	expectWriter(t, rules, "conftool", "/conftool/v1", true)
	expectWriter(t, rules, "pool-a", "/conftool/v1", false)
}

func TestReadingAnAncestorOfARestrictedPrefixNeedsItsReaders(t *testing.T) {
	secret := Rule{Prefix: "/secret", Read: Only("root", "auditor"), Write: Only("root")}
	rules := mustCompile(t, MatchSegments, open("/", "root"), secret)
	for key, want := range map[Key]bool{"/": false, "/secret": false, "/secret/x": false, "/secretX": true, "/other": true} {
		expectReader(t, rules, "", key, want)
	}
	expectReader(t, rules, "auditor", "/", true)
}

func TestWithoutARootRuleNobodyWritesTheRest(t *testing.T) {
	rules := mustCompile(t, MatchSegments, open("/a"))
	expectWriter(t, rules, "root", "/b", false)
	expectWriter(t, rules, "", "/a/x", true)
	expectReader(t, rules, "", "/b", true)
}

func TestBothReadingsMustAllow(t *testing.T) {
	rules := mustCompile(t, MatchBoth, append(seedRules(), open("/eventlogging2", "el2"))...)
	// Byte by byte, /conftool is a prefix of /conftoolX; by segments only / is.
	expectWriter(t, rules, "root", "/conftoolX", true)
	expectWriter(t, rules, "conftool", "/conftoolX", false)
	expectWriter(t, rules, "", "/eventloggingX", false)
	expectWriter(t, rules, "root", "/eventloggingX", true)
	// The longest prefix by bytes decides.
	expectWriter(t, rules, "root", "/eventlogging2/x", false)
	expectWriter(t, rules, "el2", "/eventlogging2/x", true)
	closed := mustCompile(t, MatchBoth, open("/", "root"), open("/a", "alice"))
	expectRefusing(t, closed, "root", "/ab", "/a")
	expectWriter(t, closed, "root", "/ab", false)
	expectWriter(t, closed, "root", "/b", true)
}

func TestTheFirstRefusingRuleBelowAKeyIsNamed(t *testing.T) {
	var rules []Rule
	for _, name := range []string{"d", "a", "c", "e", "b"} {
		rules = append(rules, open(Key("/"+name), "alice"), open(Key("/"+name+"/x"), "bob"))
	}
	compiled := mustCompile(t, MatchSegments, append(rules, open("/", "alice", "bob"))...)
	for range 20 { // maps have another order each time
		expectRefusing(t, compiled, "bob", "/", "/a")
		expectRefusing(t, compiled, "alice", "/", "/a/x")
	}
}

func TestARuleIsNotRefusedByTheRuleAboveIt(t *testing.T) {
	rules := mustCompile(t, MatchSegments, open("/", "root"), open("/a", "alice"))
	if got := rules.Refusing(Write, "/a/b", "alice"); got != nil {
		t.Errorf("the rule that refuses alice to write /a/b: got that for %v, want none", got.Prefix)
	}
}

func TestOnlyTheRulesThatNarrowAreListed(t *testing.T) {
	rules := mustCompile(t, MatchSegments, open("/", "root", "bob"), open("/a", "root", "bob", "carol"), open("/b", "root"), open("/c"), open("/d", "carol"))
	prefixes := func(list []Rule) (all string) {
		for _, rule := range list {
			all += string(rule.Prefix) + " "
		}
		return all
	}
	for key, want := range map[Key]string{"/": "/b /d ", "/b": "", "/x": ""} {
		if got := prefixes(rules.Narrowing(Write, key)); got != want {
			t.Errorf("the rules that narrow writing %v: got %q, want %q", key, got, want)
		}
	}
	both := mustCompile(t, MatchBoth, open("/", "root", "bob"), open("/a", "bob"), open("/b"))
	for key, want := range map[Key]string{"/ax": "/a ", "/bx": "", "/x": "", "/a": ""} {
		if got := prefixes(both.Narrowing(Write, key)); got != want {
			t.Errorf("the rules that narrow writing %v by both readings: got %q, want %q", key, got, want)
		}
	}
}

func TestTheUsersOfATableAreThoseThatItsRulesName(t *testing.T) {
	rules := mustCompile(t, MatchSegments, Rule{Prefix: "/a", Read: Only("reader"), Write: Only("writer")})
	for name, want := range map[string]bool{"reader": true, "writer": true, "nobody": false, "": false} {
		if got := rules.HasUser(name); got != want {
			t.Errorf("HasUser(%q): got %t, want %t", name, got, want)
		}
	}
}

func TestTwoRulesForOnePrefixAreRefused(t *testing.T) {
	if _, err := NewRules(MatchSegments, open("/a"), open("/a", "root")); err == nil {
		t.Error("NewRules with two rules for /a: got no error, want one")
	}
}

func TestADecisionCostsNoAllocation(t *testing.T) {
	rules := mustCompile(t, MatchSegments, seedRules()...)
	if n := testing.AllocsPerRun(100, func() { _ = rules.Allowed(Write, "/conftool/v1/pools/eqiad/x").Has("conftool") }); n != 0 {
		t.Errorf("Allowed and Has: got %v allocations, want none", n)
	}
}

// The compiled table must decide like the definition of the rule language, evaluated
// rule by rule.
func TestTheCompiledTableAgreesWithTheDefinition(t *testing.T) {
	users := []string{"", "u", "v", "w"}
	key := rapid.Custom(func(t *rapid.T) Key {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "ab", "b", "c"}), 0, 4).Draw(t, "segments")
		return Key("/" + strings.Join(parts, "/"))
	})
	group := rapid.Custom(func(t *rapid.T) Group {
		if rapid.Bool().Draw(t, "everyone") {
			return Everyone()
		}
		return Only(rapid.SliceOfDistinct(rapid.SampledFrom(users[1:]), rapid.ID[string]).Draw(t, "names")...)
	})
	rapid.Check(t, func(t *rapid.T) {
		prefixes := rapid.SliceOfNDistinct(key, 0, 8, rapid.ID[Key]).Draw(t, "prefixes")
		var list []Rule
		for _, p := range prefixes {
			list = append(list, Rule{Prefix: p, Read: group.Draw(t, "read"), Write: group.Draw(t, "write")})
		}
		match := rapid.SampledFrom([]Match{MatchSegments, MatchBoth}).Draw(t, "match")
		rules := mustCompile(t, match, list...)
		k := key.Draw(t, "key")
		for _, a := range []Access{Read, Write} {
			for _, user := range users {
				want := evaluate(list, match, a, k, user)
				if got := rules.Allowed(a, k).Has(user); got != want {
					t.Fatalf("%q may %v %v: got %t, want %t\nrules: %v", user, a, k, got, want, list)
				}
				narrowed := rules.Governing(k).Group(a).Has(user)
				for _, rule := range rules.Narrowing(a, k) {
					narrowed = narrowed && rule.Group(a).Has(user)
				}
				if narrowed != want {
					t.Fatalf("%q may %v %v, by the governing and the narrowing rules: got %t, want %t\nrules: %v", user, a, k, narrowed, want, list)
				}
				if rule := rules.Refusing(a, k, user); (rule == nil) != want || rule != nil && rule.Group(a).Has(user) {
					t.Fatalf("%q may %v %v is %t: got %v as the refusing rule\nrules: %v", user, a, k, want, rule, list)
				}
			}
		}
	})
}

// evaluate decides by the definition: it goes through all rules.
func evaluate(rules []Rule, match Match, a Access, k Key, user string) bool {
	segment, text := Rule{Read: Everyone()}, Rule{Read: Everyone()}
	for _, r := range rules {
		if r.Prefix.Covers(k) && len(r.Prefix) >= len(segment.Prefix) {
			segment = r
		}
		if strings.HasPrefix(string(k), string(r.Prefix)) && len(r.Prefix) >= len(text.Prefix) {
			text = r
		}
		if k.Covers(r.Prefix) && !r.Group(a).Has(user) {
			return false
		}
	}
	return segment.Group(a).Has(user) && (match == MatchSegments || text.Group(a).Has(user))
}

func BenchmarkAllowed(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			list := seedRules()
			for i := range n {
				list = append(list, open(Key(fmt.Sprintf("/conftool/v1/pools/eqiad/cluster%d", i)), "root", "conftool", fmt.Sprintf("pool-eqiad-%d", i)))
			}
			rules := mustCompile(b, MatchSegments, list...)
			b.ReportAllocs()
			for b.Loop() {
				_ = rules.Allowed(Write, "/conftool/v1/pools/eqiad/cluster7/nginx/mw1001").Has("pool-eqiad-7")
			}
		})
	}
}
