package acl

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func open(prefix Key, writers ...string) Rule {
	r := Rule{Prefix: prefix, Read: Everyone(), Write: Only(writers...)}
	if len(writers) == 0 {
		r.Write = Everyone()
	}
	return r
}

func compile(t interface{ Fatal(...any) }, match Match, rules ...Rule) *Rules {
	r, err := NewRules(match, rules...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seed is the operators' own table.
func seed() []Rule {
	return []Rule{open("/", "root"), open("/conftool", "root", "conftool"), open("/eventlogging")}
}

func TestTheSeedTable(t *testing.T) {
	rules := compile(t, MatchSegments, seed()...)
	may := func(user string, key Key, want bool) {
		t.Helper()
		if got := rules.Allowed(Write, key).Has(user); got != want {
			t.Errorf("%q writes %v: %v, want %v", user, key, got, want)
		}
	}
	for _, key := range []Key{"/", "/x", "/conftool", "/conftool/v1/x", "/eventlogging", "/eventlogging/token/a"} {
		may("root", key, true)
		if !rules.Allowed(Read, key).IsEveryone() {
			t.Errorf("reading %v needs an identity", key)
		}
	}
	may("conftool", "/conftool", true)
	may("conftool", "/conftool/v1/pools", true)
	may("conftool", "/", false)
	may("conftool", "/conftoolX", false)
	may("conftool", "/conf", false)
	may("conftool", "/x", false)
	may("", "/eventlogging/token", true)
	may("", "/eventloggingX/token", false)
	may("", "/conftool", false)
	may("nobody", "/conftool/x", false)
}

func TestWritingAnAncestorNeedsEveryRuleBelow(t *testing.T) {
	rules := compile(t, MatchSegments, open("/", "root"), open("/conftool", "conftool"), open("/conftool/v1/pools/a", "conftool", "pool-a"))
	if rules.Allowed(Write, "/").Has("root") {
		t.Error("root may replace / although it may not write /conftool")
	}
	if got := rules.Refusing(Write, "/", "root"); got == nil || got.Prefix != "/conftool" {
		t.Errorf("refused by %v", got)
	}
	if !rules.Allowed(Write, "/conftool/v1").Has("conftool") || rules.Allowed(Write, "/conftool/v1").Has("pool-a") {
		t.Error("a directory between two rules is decided wrongly")
	}
}

func TestReadingAnAncestorOfARestrictedPrefixNeedsItsReaders(t *testing.T) {
	secret := Rule{Prefix: "/secret", Read: Only("root", "auditor"), Write: Only("root")}
	rules := compile(t, MatchSegments, open("/", "root"), secret)
	for key, want := range map[Key]bool{"/": false, "/secret": false, "/secret/x": false, "/secretX": true, "/other": true} {
		if got := rules.Allowed(Read, key).Has(""); got != want {
			t.Errorf("anonymous reads %v: %v", key, got)
		}
	}
	if !rules.Allowed(Read, "/").Has("auditor") {
		t.Error("the auditor may read all of it, and is refused the root")
	}
}

func TestWithoutARootRuleNobodyWritesTheRest(t *testing.T) {
	rules := compile(t, MatchSegments, open("/a"))
	if rules.Allowed(Write, "/b").Has("root") || !rules.Allowed(Write, "/a/x").Has("") || !rules.Allowed(Read, "/b").Has("") {
		t.Error("the implicit root rule is wrong")
	}
}

func TestBothReadingsMustAllow(t *testing.T) {
	rules := compile(t, MatchBoth, append(seed(), open("/eventlogging2", "el2"))...)
	// nginx would take /conftool for /conftoolX, whole segments take /.
	allowed := rules.Allowed(Write, "/conftoolX")
	if !allowed.Has("root") || allowed.Has("conftool") {
		t.Error("/conftoolX")
	}
	if g := rules.Allowed(Write, "/eventloggingX"); g.Has("") || !g.Has("root") {
		t.Error("/eventloggingX")
	}
	if g := rules.Allowed(Write, "/eventlogging2/x"); g.Has("root") || !g.Has("el2") {
		t.Error("the longest prefix by bytes is not found")
	}
	closed := compile(t, MatchBoth, open("/", "root"), open("/a", "alice"))
	if rule := closed.Refusing(Write, "/ab", "root"); rule == nil || rule.Prefix != "/a" {
		t.Errorf("refused by %v", rule)
	}
}

func TestTwoRulesForOnePrefixAreRefused(t *testing.T) {
	if _, err := NewRules(MatchSegments, open("/a"), open("/a", "root")); err == nil {
		t.Error("compiled")
	}
}

func TestADecisionCostsNoAllocation(t *testing.T) {
	rules := compile(t, MatchSegments, seed()...)
	if n := testing.AllocsPerRun(100, func() { _ = rules.Allowed(Write, "/conftool/v1/pools/eqiad/x").Has("conftool") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The compiled table must say what the definition says, worked out rule by rule.
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
		rules := compile(t, match, list...)
		k := key.Draw(t, "key")
		for _, a := range []Access{Read, Write} {
			for _, user := range users {
				want := defined(list, match, a, k, user)
				if got := rules.Allowed(a, k).Has(user); got != want {
					t.Fatalf("%v %v by %q: %v, defined %v\n%v", a, k, user, got, want, list)
				}
				narrowed := rules.Governing(k).Group(a).Has(user)
				for _, rule := range rules.Narrowing(a, k) {
					narrowed = narrowed && rule.Group(a).Has(user)
				}
				if narrowed != want {
					t.Fatalf("%v %v by %q: %v by the rules that narrow it, defined %v\n%v", a, k, user, narrowed, want, list)
				}
				if rule := rules.Refusing(a, k, user); (rule == nil) != want || rule != nil && rule.Group(a).Has(user) {
					t.Fatalf("%v %v by %q: refusing rule %v, allowed %v", a, k, user, rule, want)
				}
			}
		}
	})
}

func defined(rules []Rule, match Match, a Access, k Key, user string) bool {
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
			list := seed()
			for i := range n {
				list = append(list, open(Key(fmt.Sprintf("/conftool/v1/pools/eqiad/cluster%d", i)), "root", "conftool", fmt.Sprintf("pool-eqiad-%d", i)))
			}
			rules := compile(b, MatchSegments, list...)
			b.ReportAllocs()
			for b.Loop() {
				_ = rules.Allowed(Write, "/conftool/v1/pools/eqiad/cluster7/nginx/mw1001").Has("pool-eqiad-7")
			}
		})
	}
}
