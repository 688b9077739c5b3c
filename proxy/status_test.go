package proxy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

func ruleCounts(f *fronttest.Front) map[string]observe.Decisions {
	counts := map[string]observe.Decisions{}
	for _, r := range f.Server.Status().Rules {
		counts[r.Prefix] = r.Decisions
	}
	return counts
}

func userCounts(f *fronttest.Front) map[string]observe.Decisions {
	counts := map[string]observe.Decisions{}
	for _, u := range f.Server.Status().Users {
		counts[u.Known+" "+u.User] = u.Decisions
	}
	return counts
}

func TestTheStatusCountsByRuleAndByUser(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, withClientCA(t, false))
		client := f.Client("h1")
		send := func(method, key, user string, times int) {
			for range times {
				fronttest.Do(t, client, method, f.URL()+"/v2/keys"+key, user, "")
			}
		}
		send("GET", "/conftool/a", "", 5)
		send("GET", "/conftool/a", "nobody", 1) // the credentials do not matter
		send("PUT", "/conftool/a", "conftool", 3)
		send("PUT", "/conftool/a", "alice", 2)
		send("PUT", "/conftool/a", "", 1)
		send("PUT", "/a", "root", 4)
		send("DELETE", "/", "conftool", 1) // refused by the rule of /
		send("PUT", "/a", "nobody", 1)
		fronttest.Do(t, f.Client("h1", certificate(t, f, "conftool")), "PUT", f.URL()+"/v2/keys/conftool/a", "", "value=1")
		fronttest.Do(t, client, "GET", f.URL()+"/version", "", "")

		for prefix, want := range map[string]observe.Decisions{
			"/": {WritesAllowed: 4, WritesRefused: 2}, "/conftool": {ReadsAllowed: 6, WritesAllowed: 4, WritesRefused: 3}, "/eventlogging": {},
		} {
			if got := ruleCounts(f)[prefix]; got != want {
				t.Errorf("decisions by the rule %s: got %+v, want %+v", prefix, got, want)
			}
		}
		users := userCounts(f)
		for user, want := range map[string]observe.Decisions{
			"password conftool": {WritesAllowed: 3, WritesRefused: 1}, "password alice": {WritesRefused: 2}, "password root": {WritesAllowed: 4},
			"certificate conftool": {WritesAllowed: 1}, "anonymous ": {ReadsAllowed: 7, WritesRefused: 2},
		} {
			if users[user] != want {
				t.Errorf("decisions about %q: got %+v, want %+v", user, users[user], want)
			}
		}
		if len(users) != 5 {
			t.Errorf("got the users %v, want 5", users)
		}
		var totals observe.Totals
		fronttest.Eventually(t, "all requests are counted", func() bool {
			totals = f.Server.Status().Totals
			return totals.Reads+totals.Writes == 20
		})
		if totals.Reads != 7 || totals.Refused != 5 || totals.Failed != 0 {
			t.Errorf("got the totals %+v, want 7 reads, 5 refused and 0 failed", totals)
		}
	})
}

func TestCountsGoOnAfterAReloadWhereTheRuleIsTheSame(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		client := f.Client("h1")
		for _, user := range []string{"root", "alice"} {
			for _, key := range []string{"/a", "/conftool/a"} {
				fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys"+key, user, "value=1")
			}
		}
		next := *f.Server.Snapshot()
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
		f.Server.Publish(&next)
		fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/a", "alice", "value=1")
		if got, want := fmt.Sprint(ruleCounts(f)), fmt.Sprint(map[string]observe.Decisions{"/": {WritesAllowed: 1, WritesRefused: 2}, "/conftool": {}}); got != want {
			t.Errorf("decisions by rule after a reload: got %s, want %s", got, want)
		}
		if got, want := fmt.Sprint(userCounts(f)), fmt.Sprint(map[string]observe.Decisions{"password alice": {WritesRefused: 3}}); got != want {
			t.Errorf("decisions by user after a reload: got %s, want %s", got, want)
		}
	})
}

func TestTheStatusTellsRefusalsAndNothingThatWasOnlyClaimed(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		client := f.Client("h1")
		var list []observe.RefusalStatus
		sent := uint64(0)
		recorded := func() { // a refusal is recorded after its answer
			t.Helper()
			sent++
			fronttest.Eventually(t, "the refusal is recorded", func() bool {
				times := uint64(0)
				list = f.Server.Status().Refusals
				for _, r := range list {
					times += r.Times
				}
				return times == sent
			})
		}
		for range 3 {
			fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/%3Cscript%3Ealert(1)%E2%80%AEtxt?secret=query", "conftool", "value=secret")
			recorded()
		}
		fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/a", "stranger", "")
		recorded()
		fronttest.Do(t, client, "POST", f.URL()+"/v2/members", "root", "x=y")
		recorded()
		f.Exchange("GET /v2/keys/%2e%2e/secret HTTP/1.1\r\nHost: h\r\n\r\n")
		recorded()
		type row struct {
			times                                        uint64
			user, known, method, surface, key, rule, why string
		}
		var got []row
		for _, r := range list {
			if r.Client != "127.0.0.1" || r.Time.Before(r.First) {
				t.Errorf("got the refusal %+v, want client 127.0.0.1 and a time that is not before the first", r)
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
			t.Errorf("got the refusals\n%+v, want\n%+v", got, want)
		}
		text, err := json.Marshal(f.Server.Status())
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"stranger", "secret", "-pw", "\u202e"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("got %q in the status, which must not contain it: %s", secret, text)
			}
		}
	})
}
