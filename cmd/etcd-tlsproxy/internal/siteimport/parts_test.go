package siteimport

import (
	"reflect"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"etcd-tlsproxy/acl"
)

func TestALocationThatPassesNothingOnLetsNobodyIn(t *testing.T) {
	open := location{read: acl.Only("reader"), write: acl.Only("writer")}
	passing := open
	passing.passed = "http://etcd"
	for _, c := range []struct {
		what        string
		l           *location
		read, write acl.Group
	}{
		{"no location", nil, acl.Only(), acl.Only()},
		{"a location that passes nothing on", &open, acl.Only(), acl.Only()},
		{"a location that passes requests on", &passing, open.read, open.write},
	} {
		if read, write := c.l.group(acl.Read), c.l.group(acl.Write); !reflect.DeepEqual(read, c.read) || !reflect.DeepEqual(write, c.write) {
			t.Errorf("%s: got %v as readers and %v as writers, want %v and %v", c.what, read.Names(), write.Names(), c.read.Names(), c.write.Names())
		}
	}
}

func TestWhatIsOutsideOfKeysIsNoReasonToRefuseASite(t *testing.T) {
	for _, beside := range []string{"location = /metrics {" + pass + "}", "location /static { root /srv; types { text/x y; } }"} {
		if _, err := ReadNginx(around(all+admin+beside), site); err != nil {
			t.Errorf("%s: got %v, want no error", beside, err)
		}
	}
}

func TestAUserThatIsListedTwiceIsOneUser(t *testing.T) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(`["root", "x", "root"]`), &document); err != nil {
		t.Fatal(err)
	}
	if got, err := (Source{}).users(document.Content[0], "/a"); err != nil || !slices.Equal(got, []string{"root", "x"}) {
		t.Errorf("got %q, %v, want root and x", got, err)
	}
	if document.Content[0].Style = 0; plain(document.Content[0]) {
		t.Error("a list: got a plain scalar, want none")
	}
}

func TestTwoRulesOfOnePrefixHaveNoReport(t *testing.T) {
	s := &Site{Certificates: []string{"c"}, Keys: []string{"k"}, Rules: []Rule{{Prefix: "/a", Read: acl.Everyone(), Write: acl.Only("root")}, {Prefix: "/a", Read: acl.Everyone(), Write: acl.Only("root")}}}
	if report, err := s.Report(acl.MatchBoth); err == nil || report != nil {
		t.Errorf("two rules for /a: got %+v and the error %v, want an error", report, err)
	}
}
