package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// newHealth returns the health of a cluster whose members have the given states. The
// first one is the leader.
func newHealth(states ...State) *Health {
	h := &Health{}
	for i, s := range states {
		m := MemberHealth{
			ID: fmt.Sprint("a", i+1), Name: fmt.Sprint("conf100", i+1), State: s, PeerURLs: []string{fmt.Sprintf("http://conf100%d.example.org:2380", i+1)},
			ClientURLs: []string{fmt.Sprintf("https://conf100%d.example.org:4001", i+1)}, follows: "a1", cluster: "c",
		}
		if s == Unstarted {
			m.Name, m.ClientURLs = "", nil
		}
		h.Members = append(h.Members, m)
	}
	h.summarize()
	return h
}

// refusal is the error of a plan, or the objections that need --force.
func refusal(c *Change, err error) string {
	if err == nil {
		err = c.Check(false)
	}
	return fmt.Sprint(err)
}

func TestAMemberIsOnlyAddedToAClusterThatCanBearIt(t *testing.T) {
	for _, c := range []struct {
		h          *Health
		name, peer string
		want       string
	}{
		{newHealth(Healthy, Healthy, Healthy), "conf1004", "http://conf1004.example.org:2380", "<nil>"},
		{newHealth(Healthy), "conf1004", "http://conf1004.example.org:2380", "<nil>"},
		{newHealth(Healthy, Healthy, Unreachable), "conf1004", "http://conf1004.example.org:2380", "conf1003 (a3) is unreachable"},
		{newHealth(Healthy, Healthy, Unstarted), "conf1004", "http://conf1004.example.org:2380", "member a3 was added and has not started"},
		{newHealth(Unhealthy, Unreachable), "conf1004", "http://conf1004.example.org:2380", "no member is healthy"},
		{newHealth(Healthy), "conf1004", "https://conf1004.example.org:2380", "different schemes"},
		{newHealth(Healthy), "conf1004", "http://localhost:2380", "loopback"},
		{newHealth(Healthy), "conf1004", "http://conf1004.example.org:4001", "port 4001"},
		{newHealth(Healthy), "conf1004", "http://conf1004.example.org", "it has no port"},
		{newHealth(Healthy), "conf1004", "http://user:secret@conf1004.example.org:2380", "it contains more"},
		{newHealth(Healthy), "conf1001", "http://conf1004.example.org:2380", "already has that name"},
		{newHealth(Healthy), "a1", "http://conf1004.example.org:2380", `"a1" is the id of member conf1001 (a1)`},
		{newHealth(Healthy), "conf1004", "http://CONF1001.example.org:2380", "already has the peer URL http://CONF1001.example.org:2380"},
	} {
		if got := refusal(c.h.PlanAdd(c.name, c.peer)); !strings.Contains(got, c.want) || strings.Contains(got, "secret") {
			t.Errorf("adding %s at %s: got %q, want %q and no password", c.name, c.peer, got, c.want)
		}
	}
	// After a recovery with --force-new-cluster.
	h := newHealth(Healthy)
	h.Members[0].PeerURLs = []string{"http://localhost:2380"}
	if got := refusal(h.PlanAdd("conf1002", "http://conf1002.example.org:2380")); !strings.Contains(got, "the peer URL must be updated first") {
		t.Errorf("adding a member to one with a loopback URL: got %q", got)
	}
	change, err := newHealth(Healthy).PlanAdd("conf1002", "http://conf1002.example.org:2380")
	if err != nil {
		t.Fatalf("adding a second member: %v", err)
	}
	for _, want := range []string{"from 1 to 2 members, and its quorum from 1 to 2", "the cluster has no quorum and accepts no writes"} {
		if plan := fmt.Sprint(change.Steps); !strings.Contains(plan, want) {
			t.Errorf("the plan for a second member: got %s, want %q", plan, want)
		}
	}
}

func TestAMemberIsOnlyRemovedFromAClusterThatCanBearIt(t *testing.T) {
	leaderless := func(h *Health) *Health { h.Members[0].Leader, h.LeaderID = false, ""; return h }
	twins := newHealth(Healthy, Unstarted, Unstarted)
	named := newHealth(Healthy, Healthy, Healthy)
	named.Members[1].Name = "a3"
	same := newHealth(Healthy, Healthy, Healthy)
	same.Members[1].Name = "conf1003"
	for _, c := range []struct {
		h           *Health
		which, want string
	}{
		{newHealth(Healthy, Healthy, Healthy), "conf1002", "<nil>"},
		{newHealth(Healthy, Healthy, Healthy), "a2", "<nil>"},
		{newHealth(Healthy, Healthy, Unreachable), "conf1003", "<nil>"},
		{newHealth(Healthy, Healthy, Unstarted), "a3", "<nil>"},
		{newHealth(Healthy, Healthy, Healthy), "conf1001", "conf1001 (a1) is the leader"},
		{leaderless(newHealth(Healthy, Healthy, Healthy)), "conf1002", "it may be this one"},
		{newHealth(Healthy, Healthy, Unreachable), "conf1002", "the quorum would be lost"},
		{newHealth(Healthy, Unreachable, Unreachable), "conf1001", "is the last healthy one"},
		{newHealth(Healthy), "conf1001", "it is the only member"},
		{newHealth(Unhealthy, Unhealthy), "conf1001", "no member is healthy"},
		{twins, "", "has no name; use its id"},
		{named, "a3", `"a3" is the name or the id of more than one member: a3 (a2), conf1003 (a3)`},
		{same, "conf1003", "of more than one member: conf1003 (a2), conf1003 (a3)"},
		{newHealth(Healthy, Healthy), "conf100", `no member has the name or the id "conf100"`},
	} {
		_, change, err := c.h.PlanRemove(c.which)
		if got := refusal(change, err); !strings.Contains(got, c.want) {
			t.Errorf("removing %q: got %q, want %q", c.which, got, c.want)
		}
	}
}

func TestHealthIsJudged(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	limits := Limits{BehindWarning: 10, BehindCritical: 20, ExpiryWarning: 48 * time.Hour, ExpiryCritical: 24 * time.Hour, ProxyPorts: []int{4001}}
	urlExpiring := func(at string, left time.Duration) []URLHealth {
		end := now.Add(left)
		return []URLHealth{{URL: at, State: Healthy, Expires: &end}}
	}
	behind := func(n uint64) *uint64 { return &n }
	three := func(change func(h *Health)) *Health {
		h := newHealth(Healthy, Healthy, Healthy)
		change(h)
		return h
	}
	const proxy = "https://conf1001.example.org:4001"
	for want, h := range map[string]*Health{
		"OK ": three(func(h *Health) { h.Members[0].URLs = urlExpiring(proxy, 72*time.Hour); h.Members[1].Behind = behind(9) }),
		"WARNING the certificate at " + proxy + " expires on 2026-01-02":                      three(func(h *Health) { h.Members[0].URLs = urlExpiring(proxy, 47*time.Hour) }),
		"CRITICAL the certificate at " + proxy + " expires on 2026-01-01":                     three(func(h *Health) { h.Members[0].URLs = urlExpiring(proxy, 23*time.Hour) }),
		"CRITICAL the certificate at " + proxy + " expired on 2025-12-31":                     three(func(h *Health) { h.Members[0].URLs = urlExpiring(proxy, -time.Hour) }),
		"WARNING member conf1001 (a1) advertises http://conf1001.example.org:4001, which is":  three(func(h *Health) { h.Members[0].URLs = urlExpiring("http://conf1001.example.org:4001", 72*time.Hour) }),
		"WARNING member conf1001 (a1) advertises https://conf1001.example.org:2379, where no": three(func(h *Health) { h.Members[0].URLs = urlExpiring("https://conf1001.example.org:2379", 72*time.Hour) }),
		"WARNING member conf1003 (a3) is 10 entries behind":                                   three(func(h *Health) { h.Members[2].Behind = behind(10) }),
		"CRITICAL member conf1003 (a3) is 20 entries behind":                                  three(func(h *Health) { h.Members[2].Behind = behind(20) }),
		"WARNING members run different versions: 3.4.23 (conf1001 (a1)), 3.5.35 (conf1002":    three(func(h *Health) { h.Members[0].Version, h.Members[1].Version = "3.4.23", "3.5.35" }),
		"CRITICAL members belong to different clusters: c (conf1003 (a3)), d (conf1001 (a1))": three(func(h *Health) { h.Members[0].cluster = "d" }),
		"WARNING members have peer URLs of different schemes":                                 three(func(h *Health) { h.Members[0].PeerURLs = []string{"https://conf1001.example.org:2380"} }),
		"WARNING member conf1001 (a1) has the peer URL http://localhost:2380, which other":    three(func(h *Health) { h.Members[0].PeerURLs = []string{"http://localhost:2380"} }),
		"WARNING member conf1002 (a2) follows a2, others follow a1":                           three(func(h *Health) { h.Members[1].follows = "a2" }),
		"CRITICAL no healthy member knows a leader":                                           three(func(h *Health) { h.LeaderID = "" }),
		"WARNING 2 members have a quorum of 2":                                                newHealth(Healthy, Healthy),
		"WARNING member conf1003 (a3) is unreachable":                                         newHealth(Healthy, Healthy, Unreachable),
		"CRITICAL there is no quorum: 1 of 3 members are healthy":                             newHealth(Healthy, Unreachable, Unreachable),
	} {
		findings := h.Findings(limits, now)
		var all strings.Builder
		for _, f := range findings {
			fmt.Fprintln(&all, f.Severity, f.Text)
		}
		if want == "OK " && len(findings) == 0 {
			continue
		}
		if !strings.Contains(all.String(), want) || Worst(findings).String() != strings.Fields(want)[0] {
			t.Errorf("got severity %s and findings %q, want %q", Worst(findings), all.String(), want)
		}
	}
}
