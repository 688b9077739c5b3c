package siteimport

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
)

// TestTheDifferencesOfATableAreExactlyThoseOfItsDecisions compares the listed differences
// of random tables with the decisions of nginx and of this proxy, for each key and user.
func TestTheDifferencesOfATableAreExactlyThoseOfItsDecisions(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	users := []string{"u", "v", "w"}
	var keys []acl.Key
	for _, a := range []string{"/a", "/ab", "/abc", "/b", "/b~~"} {
		keys = append(keys, acl.Key(a))
		for _, b := range []string{"/a", "/ab", "/b"} {
			keys = append(keys, acl.Key(a+b), acl.Key(a+b+"/x"))
		}
	}
	keys = append(keys, "/", "/a~~~", "/ab~", "/a/a~", "/a/ab~~/x")
	group := func() acl.Group {
		if random.IntN(4) == 0 {
			return acl.Everyone()
		}
		return acl.Only(users[:1+random.IntN(3)]...)
	}
	classes := map[string]int{}
	for range 150 {
		s := &Site{Elsewhere: true, Uncovered: acl.Everyone(), ReadOnly: random.IntN(10) == 0, Listen: ":1", Certificates: []string{"c"}, Keys: []string{"k"}, Endpoints: []string{"http://127.0.0.1:1"}}
		for _, prefix := range []acl.Key{"/", "/a", "/a/a", "/a/ab", "/ab", "/b", "/b/b/x"} {
			if random.IntN(2) == 0 {
				rule := Rule{Prefix: prefix, Below: prefix == acl.Root, Whole: random.IntN(5) == 0, Read: acl.Everyone(), Write: group()}
				if random.IntN(4) == 0 {
					rule.Read = group()
				}
				s.Rules = append(s.Rules, rule)
			}
		}
		match := []acl.Match{acl.MatchSegments, acl.MatchBoth}[random.IntN(2)]
		differences, err := s.Differences(match)
		if err != nil {
			t.Fatal(err)
		}
		rules, err := s.rules(match)
		if err != nil {
			t.Fatal(err)
		}
		met := make([]bool, len(differences))
		for _, key := range keys {
			for _, a := range []acl.Access{acl.Read, acl.Write} {
				for _, user := range append(users, "") {
					before, now := s.allowedByNginx(a, key).Has(user), rules.Allowed(a, key).Has(user) && !(s.ReadOnly && a == acl.Write)
					effect := Allowed
					if before {
						effect = Refused
					}
					listed := false
					for i, d := range differences {
						if d.covers(s, key, a, user) && d.Effect == effect {
							listed, met[i] = true, true
							classes[d.Class]++
						}
					}
					if (before != now) != listed {
						t.Fatalf("%v of %s by %q: allowed %v before and %v now, listed as a difference %v\n%+v\n%+v", a, key, user, before, now, listed, s.Rules, differences)
					}
				}
			}
		}
		for i, d := range differences {
			if !met[i] && d.Class == RulesBelow && slices.Contains(keys, acl.Key(d.Key)) {
				t.Fatalf("listed, but no decision differs: %+v\n%+v", d, s.Rules)
			}
		}
	}
	t.Log(classes)
	if classes[RawPrefix] == 0 || classes[RulesBelow] == 0 || classes[Uncovered] == 0 {
		t.Errorf("classes: got %v, want all three of the table", classes)
	}
}

// fits reports whether a difference of the table is about a request.
func (d *Difference) covers(s *Site, key acl.Key, a acl.Access, user string) bool {
	if d.Class != Uncovered && !strings.HasPrefix(d.What, a.String()) || a == acl.Read && d.Class == Uncovered {
		return false
	}
	// Keys that have rules at or below them are a class of their own.
	folder := slices.Contains(s.foldersOfRules(), key)
	switch d.Class {
	case RulesBelow:
		if string(key) != d.Key {
			return false
		}
	case RawPrefix:
		longest := acl.Key("")
		for _, rule := range s.Rules {
			if strings.HasPrefix(string(key), string(rule.Prefix)) && len(rule.Prefix) > len(longest) {
				longest = rule.Prefix
			}
		}
		if folder || string(longest) != d.Key || longest.Covers(key) {
			return false
		}
	case Uncovered:
		if folder || s.governing(key) != nil {
			return false
		}
	default:
		return false
	}
	return d.Everyone && !slices.Contains(d.But, user) || slices.Contains(d.Users, user)
}

func TestAConfigurationNeverOpensWhatNobodyMay(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a rule without users was written as one for everyone")
		}
	}()
	(&Site{Rules: []Rule{{Prefix: "/", Read: acl.Everyone(), Write: acl.Only()}}}).Config(acl.MatchBoth)
}

func TestEmptySegmentsAreListedIfNginxPassesThemOn(t *testing.T) {
	for target, want := range map[string]string{
		toEtcd:                               "paths with empty segments, such as /v2/keys//a",
		"proxy_pass http://etcd/v2/keys/a/;": "",
	} {
		s, err := readWhole(configuration("", "", "location /v2/keys/a/ { "+byRoot+target+"}"), nil)
		if err != nil {
			t.Fatal(err)
		}
		differences, err := s.Differences(acl.MatchBoth)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, d := range differences {
			if d.Class == Spelling && d.Effect == Answered {
				got += d.What
			}
		}
		if got != want {
			t.Errorf("%s: got the difference %q, want %q", target, got, want)
		}
	}
}

func TestTheTimesAndHeadsOfNginxAreListed(t *testing.T) {
	differences, err := (&Site{}).Differences(acl.MatchBoth)
	if err != nil {
		t.Fatal(err)
	}
	for _, directive := range []string{"proxy_read_timeout", "large_client_header_buffers", "client_body_timeout"} {
		if !slices.ContainsFunc(differences, func(d Difference) bool {
			return d.Class == Limits && d.Effect == Answered && strings.Contains(d.What, directive)
		}) {
			t.Errorf("got the differences %+v, want one that names %s", differences, directive)
		}
	}
}

func TestALimitOfBodiesThatIsNotKnownIsListed(t *testing.T) {
	known, err := readWhole(configuration("", "", guarded), nil)
	if err != nil {
		t.Fatal(err)
	}
	unlimited, err := readWhole(configuration("client_max_body_size 0; ", "", guarded), nil)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := ReadNginx(around(all+admin), site)
	if err != nil {
		t.Fatal(err)
	}
	hiera, err := ReadHiera(HieraOptions{}, hieraOf(seedHiera))
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[*Site]bool{known: false, unlimited: false, alone: true, hiera: true} {
		differences, err := s.Differences(acl.MatchBoth)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.ContainsFunc(differences, func(d Difference) bool {
			return d.Class == Limits && d.Effect == Allowed && strings.HasPrefix(d.What, "bodies above nginx's client_max_body_size")
		})
		if got != want {
			t.Errorf("a site with the limit %d: got the differences %+v, want one about bodies: %v", s.MaxBody, differences, want)
		}
	}
}

func TestAKeyBesideAPrefixIsOneOfNoLongerRule(t *testing.T) {
	s := &Site{Rules: []Rule{{Prefix: "/a"}, {Prefix: "/a/b"}, {Prefix: "/b"}, {Prefix: "/b~c"}}}
	for prefix, want := range map[acl.Key]acl.Key{"/a": "/a~", "/b": "/b\u0080"} {
		if got := s.beside(prefix); got != want {
			t.Errorf("a key beside %s: got %q, want %q", prefix, got, want)
		}
	}
}
