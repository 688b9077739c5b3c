package main

import (
	"io"
	"net/netip"
	"regexp"
	"slices"
	"testing"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-siege/internal/attack"
	"etcd-tlsproxy/cmd/internal/tool"
)

// all are the settings of a run of all rows.
func all() *settings { return &settings{duration: time.Second, pattern: regexp.MustCompile("")} }

func TestEachRowHasANameOfItsOwn(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range all().rows() {
		if seen[p.name()] {
			t.Errorf("%s: the name is used twice", p.name())
		}
		seen[p.name()] = true
	}
}

func TestEachScenarioCanBeCarriedOut(t *testing.T) {
	used := make(map[string]bool)
	for _, a := range scenarios() {
		if a.attack == "" && a.check == nil && a.never == "" {
			t.Errorf("%s: it neither attacks nor checks anything", a.name)
		}
		if a.attack != "" && !slices.Contains(attack.Names(), a.attack) {
			t.Errorf("%s: %q is not an attack", a.name, a.attack)
		}
		used[a.attack] = true
		for _, name := range a.attackers {
			if attackersMeaning[name] == "" {
				t.Errorf("%s: %q are not attackers that --list explains", a.name, name)
			}
			if kinds := a.kindsOf(name, ownServer); a.attack != "" && len(kinds) == 0 {
				t.Errorf("%s by %s: there is no victim", a.name, name)
			}
		}
	}
	for _, name := range attack.Names() {
		if !used[name] {
			t.Errorf("no scenario uses the attack %q", name)
		}
	}
}

func TestVictimsAreInNoNetworkOfTheAttackers(t *testing.T) {
	victim := netip.MustParseAddr(victimAddress)
	for name := range attackersMeaning {
		list := sources(name)
		seen := make(map[string]bool)
		for _, text := range list {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if seen[text] {
				t.Errorf("%s: %s is listed twice", name, text)
			}
			seen[text] = true
			if network, err := victim.Prefix(24); err != nil || network.Contains(addr) {
				t.Errorf("%s: %s is in the victims' network %v", name, addr, network)
			}
		}
		want := map[string]int{four: 4, company: 4, network24: 256, network48: 1000}[name]
		if len(list) != max(1, want) {
			t.Errorf("%s: got %d addresses, want %d", name, len(list), max(1, want))
		}
	}
}

func TestFlagsThatWouldAttackNothingAreRefused(t *testing.T) {
	good := settings{duration: time.Second, attacks: "^8/", api: "v2"}
	if err := good.check(); err != nil {
		t.Errorf("checking %+v: %v", good, err)
	}
	for what, spoil := range map[string]func(*settings){
		"no duration":                 func(s *settings) { s.duration = 0 },
		"a broken pattern":            func(s *settings) { s.attacks = "(" },
		"no row":                      func(s *settings) { s.attacks = "^8/3/" },
		"an unknown server":           func(s *settings) { s.with = []string{"apache"} },
		"an unknown API":              func(s *settings) { s.api = "v1" },
		"two kinds of etcd":           func(s *settings) { s.embedded, s.etcd = true, "etcd" },
		"a server without a v3 store": func(s *settings) { s.api, s.with = "v3", []string{"nginx"} },
	} {
		bad := good
		spoil(&bad)
		if bad.check() == nil {
			t.Errorf("%s: %+v was accepted", what, bad)
		}
	}
}

func TestAWrongCommandLineHasAStatusOfItsOwn(t *testing.T) {
	for _, args := range [][]string{{"more"}, {"--nothing"}, {"--attacks", "("}, {"--attacks", "^8/3/"}, {"--with", "apache"}, {"--api", "v1"}, {"--api", "v3", "--with", "nginx"}, {"--embedded", "--etcd", "etcd"}, {"--duration", "0s"}, {"--quick=no"}} {
		if code := tool.Run(t.Context(), newCommand(), args, io.Discard, io.Discard); code != 2 {
			t.Errorf("%q: got status %d, want 2", args, code)
		}
	}
	if code := tool.Run(t.Context(), newCommand(), []string{"--list", "--attacks", "^8/"}, io.Discard, io.Discard); code != 0 {
		t.Errorf("a list of rows: got status %d, want 0", code)
	}
}

func TestAQuickRunHasEachScenarioOnce(t *testing.T) {
	s := all()
	s.quick = true
	if got, want := len(s.rows()), len(scenarios()); got != want {
		t.Errorf("rows of a quick run: got %d, want %d", got, want)
	}
}
