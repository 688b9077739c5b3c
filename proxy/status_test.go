package proxy

import (
	"encoding/json"
	"etcd-tlsproxy/proxy/observe"
	"fmt"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/upstream"
)

func (f *front) ruleCounts() map[string]observe.Decisions {
	counts := map[string]observe.Decisions{}
	for _, r := range f.server.Status().Rules {
		counts[r.Prefix] = r.Decisions
	}
	return counts
}

func (f *front) userCounts() map[string]observe.Decisions {
	counts := map[string]observe.Decisions{}
	for _, u := range f.server.Status().Users {
		counts[u.Known+" "+u.User] = u.Decisions
	}
	return counts
}

func TestTheStatusCountsByRuleAndByUser(t *testing.T) {
	f, _ := newEmbedded(t, withClientCA(t, false, nil))
	client := f.client("h1")
	send := func(method, key, user string, times int) {
		for range times {
			do(t, client, method, f.url()+"/v2/keys"+key, user, "")
		}
	}
	send("GET", "/conftool/a", "", 5)
	send("GET", "/conftool/a", "nobody", 1) // credentials are not looked at
	send("PUT", "/conftool/a", "conftool", 3)
	send("PUT", "/conftool/a", "alice", 2)
	send("PUT", "/conftool/a", "", 1)
	send("PUT", "/a", "root", 4)
	send("DELETE", "/", "conftool", 1) // by the rule of /, which is in the way
	send("PUT", "/a", "nobody", 1)
	do(t, f.client("h1", f.certificate("conftool")), "PUT", f.url()+"/v2/keys/conftool/a", "", "value=1")
	do(t, client, "GET", f.url()+"/version", "", "")

	for prefix, want := range map[string]observe.Decisions{
		"/": {WritesAllowed: 4, WritesRefused: 2}, "/conftool": {ReadsAllowed: 6, WritesAllowed: 4, WritesRefused: 3}, "/eventlogging": {},
	} {
		if got := f.ruleCounts()[prefix]; got != want {
			t.Errorf("rule %s: %+v, want %+v", prefix, got, want)
		}
	}
	users := f.userCounts()
	for user, want := range map[string]observe.Decisions{
		"password conftool": {WritesAllowed: 3, WritesRefused: 1}, "password alice": {WritesRefused: 2}, "password root": {WritesAllowed: 4},
		"certificate conftool": {WritesAllowed: 1}, "anonymous ": {ReadsAllowed: 7, WritesRefused: 2},
	} {
		if users[user] != want {
			t.Errorf("user %s: %+v, want %+v", user, users[user], want)
		}
	}
	if len(users) != 5 {
		t.Errorf("the users are %v", users)
	}
	var totals observe.Totals
	eventually(t, "all are answered", func() bool {
		totals = f.server.Status().Totals
		return totals.Reads+totals.Writes == 20
	})
	if totals.Reads != 7 || totals.Refused != 5 || totals.Failed != 0 {
		t.Errorf("totals: %+v", totals)
	}
}

func TestCountsGoOnAfterAReloadWhereTheRuleIsTheSame(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	client := f.client("h1")
	for _, user := range []string{"root", "alice"} {
		for _, key := range []string{"/a", "/conftool/a"} {
			do(t, client, "PUT", f.url()+"/v2/keys"+key, user, "value=1")
		}
	}
	next := *f.server.Snapshot()
	var err error
	if next.Rules, err = acl.NewRules(acl.MatchSegments,
		acl.Rule{Prefix: "/", Read: acl.Everyone(), Write: acl.Only("root")},
		acl.Rule{Prefix: "/conftool", Read: acl.Everyone(), Write: acl.Only("root", "alice")},
	); err != nil {
		t.Fatal(err)
	}
	lines, err := proxytest.Htpasswd(map[string]string{"alice": "alice-pw", "bob": "bob-pw"})
	if err != nil {
		t.Fatal(err)
	}
	if next.Users, err = acl.ParseUsers(acl.NewHasher(acl.HasherOptions{}), acl.Source{Name: "htpasswd", Data: lines}); err != nil {
		t.Fatal(err)
	}
	f.server.Publish(&next)
	do(t, client, "PUT", f.url()+"/v2/keys/a", "alice", "value=1")
	if got, want := fmt.Sprint(f.ruleCounts()), fmt.Sprint(map[string]observe.Decisions{"/": {WritesAllowed: 1, WritesRefused: 2}, "/conftool": {}}); got != want {
		t.Errorf("rules: %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(f.userCounts()), fmt.Sprint(map[string]observe.Decisions{"password alice": {WritesRefused: 3}}); got != want {
		t.Errorf("users: %s, want %s", got, want)
	}
}

func TestTheStatusTellsRefusalsAndNothingThatWasOnlyClaimed(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	client := f.client("h1")
	var list []observe.RefusalStatus
	sent := uint64(0)
	noted := func() { // which is after the answer
		t.Helper()
		sent++
		eventually(t, "the refusal is noted", func() bool {
			times := uint64(0)
			list = f.server.Status().Refusals
			for _, r := range list {
				times += r.Times
			}
			return times == sent
		})
	}
	for range 3 {
		do(t, client, "PUT", f.url()+"/v2/keys/%3Cscript%3Ealert(1)%E2%80%AEtxt?secret=query", "conftool", "value=secret")
		noted()
	}
	do(t, client, "PUT", f.url()+"/v2/keys/a", "claimed", "")
	noted()
	do(t, client, "POST", f.url()+"/v2/members", "root", "x=y")
	noted()
	f.exchange("GET /v2/keys/%2e%2e/secret HTTP/1.1\r\nHost: h\r\n\r\n")
	noted()
	type row struct {
		times                                        uint64
		user, known, method, surface, key, rule, why string
	}
	var got []row
	for _, r := range list {
		if r.Client != "127.0.0.1" || r.Time.Before(r.First) {
			t.Errorf("%+v", r)
		}
		got = append(got, row{r.Times, r.User, r.Known, r.Method, r.Surface, r.Key, r.Rule, fmt.Sprint(r.Status, " ", r.Reason)})
	}
	want := []row{
		{1, "", "anonymous", "GET", "", "", "", "400 bad_target"},
		{1, "", "anonymous", "POST", "members", "", "", "403 closed_surface"},
		{1, "", "anonymous", "PUT", "keys", "/a", "/", "401 unauthorized"},
		{3, "conftool", "password", "PUT", "keys", `/<script>alert(1)\u202etxt`, "/", "401 unauthorized"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the refusals are\n%+v, want\n%+v", got, want)
	}
	text, err := json.Marshal(f.server.Status())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"claimed", "secret", "-pw", "\u202e"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%q is told: %s", secret, text)
		}
	}
}

func TestTheStatusTellsOfEveryMember(t *testing.T) {
	onlyFast(t, "no request of a client's is part of this")
	path, _, ok := proxytest.FindEtcd()
	if !ok {
		t.Skip("no etcd 3.4 or 3.5 is installed")
	}
	cluster, err := proxytest.StartCluster(path, proxytest.Options{Dir: t.TempDir()}, proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range cluster {
		t.Cleanup(member.Close)
	}
	gone := listen(t)
	gone.Close()
	var endpoints []upstream.Endpoint
	for _, text := range []string{"http://" + gone.Addr().String(), cluster[0].URL(), cluster[1].URL()} {
		at, err := upstream.ParseEndpoint(text)
		if err != nil {
			t.Fatal(err)
		}
		endpoints = append(endpoints, at)
	}
	pool, err := upstream.New(upstream.Options{RawSockets: true, Endpoints: endpoints})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	state := observe.New(observe.NewMetrics("test"), nil).Members(pool)
	if down := state.Endpoints[0]; down.Health != "down" || !strings.Contains(down.Error, "connection refused") || down.Took == down.Took {
		t.Errorf("where nothing listens: %+v", down)
	}
	roles := map[string]int{}
	leader := 0
	for i, e := range state.Endpoints[1:] {
		if e.Health != "up" || e.Name == "" || !strings.HasPrefix(e.Version, "3.") || e.Error != "" || e.Took != e.Took {
			t.Errorf("member %d: %+v", i, e)
		}
		if roles[e.Role]++; e.Role == "leader" {
			leader = i
			if e.Name != state.Leader || state.LeaderID == "" {
				t.Errorf("the leader is %q, not %q", e.Name, state.Leader)
			}
		}
	}
	if roles["leader"] != 1 || roles["follower"] != 1 {
		t.Errorf("the roles are %v", roles)
	}
	cluster[leader].Kill()
	eventually(t, "the other one knows of no leader", func() bool {
		state = observe.New(observe.NewMetrics("test"), nil).Members(pool)
		return state.Endpoints[2-leader].Health == "no leader"
	})
	if state.Leader != "" || state.Endpoints[1+leader].Health != "down" {
		t.Errorf("after its end: %+v", state)
	}
}

func TestMembersAreAskedOnceInAWhile(t *testing.T) {
	f, e := newEmbedded(t, nil)
	first := f.server.Status().Upstream
	e.Cut()
	if again := f.server.Status().Upstream; again.Endpoints[0].Checked != first.Endpoints[0].Checked || again.Leader != "default" {
		t.Errorf("first %+v, then %+v", first, again)
	}
	e.Mend()
}

func TestTheStatusTellsOfHubs(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	for range 3 {
		startWatch(t, f, "GET /v2/keys/conftool?wait=true&recursive=true HTTP/1.1\r\nHost: h\r\n\r\n")
	}
	startWatch(t, f, "GET /v2/keys/a?wait=true HTTP/1.1\r\nHost: h\r\n\r\n")
	eventually(t, "all wait in their hubs", func() bool { return f.metrics.Watches.Waiting.Load() == 4 })
	s := f.server.Status()
	w := s.Watches
	if w.Running != 4 || w.Waiting != 4 || w.Hubs != 2 || len(w.Largest) != 2 || s.Sharing.WatchersPerHub != 2 {
		t.Fatalf("%+v, %+v", w, s.Sharing)
	}
	if h := w.Largest[0]; h.Key != "/conftool" || !h.Recursive || h.Watchers != 3 || h.Index == 0 {
		t.Errorf("the largest: %+v", h)
	}
	if h := w.Largest[1]; h.Key != "/a" || h.Recursive || h.Watchers != 1 {
		t.Errorf("the other: %+v", h)
	}
}
