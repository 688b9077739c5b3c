package main

import (
	"encoding/json"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/statuspage"
)

func (s *service) status() (status statuspage.Status) {
	s.t.Helper()
	code, body := s.ask("GET", "/-/status.json")
	if code != 200 {
		s.t.Fatalf("the status: %d %s", code, body)
	}
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		s.t.Fatal(err)
	}
	return status
}

func TestTheStatusPageTellsOfTheService(t *testing.T) {
	s := newService(t, echo)
	s.put("conftool", "conftool-1")
	s.put("conftool", "wrong")
	var now statuspage.Status
	s.eventually("both are counted", func() bool {
		now = s.status()
		return now.Totals.Writes == 2
	})
	if r := now.Rules[1]; r.Prefix != "/conftool" || r.WritesAllowed != 1 || r.WritesRefused != 1 || strings.Join(r.Write.Users, ",") != "conftool,root" {
		t.Errorf("the rule: %+v", r)
	}
	if r := now.Refusals[0]; r.Rule != "/conftool" || r.User != "" || r.Client != "127.0.0.1" || r.Reason != "unauthorized" {
		t.Errorf("the refusal: %+v", r)
	}
	if c := now.Config; !c.OK || c.File != s.path("etcd-tlsproxy.toml") || c.Error != "" || c.Loaded.IsZero() || !c.ShareReads || !c.FastLane {
		t.Errorf("the configuration: %+v", c)
	}
	if "https://"+now.Listen[0] != s.url || now.Version == "" || now.State != "serving" || len(now.Certificates) != 1 || now.Memory.Limit == 0 {
		t.Errorf("%+v", now)
	}
	if e := now.Upstream.Endpoints[0]; e.Health != "down" || !strings.Contains(e.Error, "not answered as etcd does") || len(now.Problems) == 0 {
		t.Errorf("what is no etcd is %+v; problems: %q", e, now.Problems)
	}

	s.write("etcd-tlsproxy.toml", strings.Replace(s.read("etcd-tlsproxy.toml"), "[limits]", "[limits]\ndrian = 1", 1))
	s.ask("POST", "/-/reload")
	after := s.status()
	if c := after.Config; c.OK || !strings.Contains(c.Error, "limits.drian") || !c.Loaded.Equal(now.Config.Loaded) || c.Tried.Before(c.Loaded) {
		t.Errorf("after a bad reload: %+v", c)
	}
	if after.Rules[1].WritesAllowed != 1 || !strings.Contains(strings.Join(after.Problems, " "), "could not be loaded") {
		t.Errorf("after a bad reload: %+v, %q", after.Rules[1], after.Problems)
	}

	code, page := s.ask("GET", "/") // and on to the page
	if code != 200 || !strings.Contains(page, "<h1>etcd-tlsproxy</h1>") || !strings.Contains(page, "limits.drian") || !strings.Contains(page, ">conftool, root</td>") {
		t.Errorf("the page: %d %s", code, page)
	}
	for _, secret := range []string{"wrong", "conftool-1", "$apr1$"} {
		if strings.Contains(page, secret) {
			t.Errorf("%q is on the page", secret)
		}
	}
	if code, _ := s.ask("POST", "/-/status"); code != 405 {
		t.Errorf("a POST of the page: %d", code)
	}
}
