package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/proxy/proxytest"
)

// TestHealthIsOfTheMembersThemselves stops members and proxies: a proxy can hide that
// its member is down, and can be down while its member is up.
func TestHealthIsOfTheMembersThemselves(t *testing.T) {
	t.Parallel() // most of the time it waits
	p := newProxied(t, "", 3)
	leader, err := p.etcds.Leader()
	if err != nil {
		t.Fatal(err)
	}
	down, err := p.etcds.Follower()
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := p.verbAt(leader.URL(), "cluster-health", "--nagios", "--proxy-port", "0", "--expiry-critical", "60")
	wants(t, code, stdout, stderr, 2, "ETCD CRITICAL - the certificate at https://127.0.0.1:", " expires on 20", "certificate_days=29;21:;60:")

	// With the CA of another issuer the certificates are not trusted, but the time of
	// their expiry is known.
	other := newFolder(t, "").pki
	if err := other.WriteCA(p.ca); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = p.verbAt(leader.URL(), "cluster-health", "--output", "json")
	wants(t, code, stdout, stderr, 1, "certificate signed by unknown authority")
	var health cluster.Health
	if err := json.Unmarshal([]byte(stdout), &health); err != nil {
		t.Fatalf("decoding the health: %v\n%s", err, stdout)
	}
	if health.State != "unavailable" || health.Members[0].URLs[0].Expires == nil {
		t.Errorf("without the right CA: got\n%s\nwant the state unavailable, and when the certificate expires", stdout)
	}
	if err := p.pki.WriteCA(p.ca); err != nil {
		t.Fatal(err)
	}

	// Its proxy turns to the leader.
	url := p.urls[down.Name()]
	p.proxies[down.Name()].terminate()
	p.front(down, url, leader.URL())
	down.Close()
	code, stdout, stderr = p.verbAt(leader.URL(), "cluster-health")
	wants(t, code, stdout, stderr, 1, "member "+down.Name()+" (", ") is unhealthy: "+url+": member ", "answers there (hint: this member's etcd may be down")

	for name, process := range p.proxies {
		if name != leader.Name() {
			process.terminate()
			p.sockets[p.urls[name]].Close()
		}
	}
	code, stdout, stderr = p.verbAt(leader.URL(), "member", "remove", leader.Name(), "--yes")
	wants(t, code, stdout, stderr, 1, ") is the last healthy one", "is the leader", ") is unreachable: "+url+": dial tcp")
	// --force overrides all checks but etcd's own. Without --yes it prints the plan alone.
	code, stdout, stderr = p.verbAt(leader.URL(), "member", "remove", leader.Name(), "--force")
	wants(t, code, stdout, stderr, 4, "FORCED although", "recovered from a backup", "nothing was done")
}

// TestHealthIsQuietWhereReadsNeedAUser counts the lines of the audit logs: a check that runs
// each minute must not fill them.
func TestHealthIsQuietWhereReadsNeedAUser(t *testing.T) {
	t.Parallel() // most of the time it waits
	p := &proxied{t: t, replace: strings.NewReplacer(`"/" = ["root"]`, `"/" = { read = ["root"], write = ["root"] }`, `"/conftool" = ["root", "conftool"]`, "", `audit = "off"`, `audit = "audit.log"`)}
	p.start("", 3)
	var urls []string
	for _, url := range p.urls {
		urls = append(urls, url)
	}
	refused := func() int {
		t.Helper()
		lines := 0
		for _, f := range p.folders {
			data, err := os.ReadFile(filepath.Join(f.dir, "audit.log"))
			if err != nil {
				t.Fatal(err)
			}
			lines += strings.Count(string(data), `"msg":"request"`)
		}
		return lines
	}
	code, stdout, stderr := p.verb(p.asRoot("cluster-health")...)
	wants(t, code, stdout, stderr, 0, "cluster is healthy")
	code, stdout, stderr = p.verbAt(strings.Join(urls, ","), p.asRoot("cluster-health", "--output", "json")...)
	wants(t, code, stdout, stderr, 0, `"behind": `)
	if got := refused(); got != 0 {
		t.Errorf("after two checks with a user: the audit logs have %d lines, want 0", got)
	}
	code, stdout, stderr = p.verb("cluster-health")
	wants(t, code, stdout, stderr, 0, "cluster is healthy")
	if got := refused(); got > 1 {
		t.Errorf("after a check without a user: the audit logs have %d lines, want at most 1", got)
	}
}

// TestHealthWarnsOfAProxyThatIsEmptied empties the proxy of a member, and takes that back.
func TestHealthWarnsOfAProxyThatIsEmptied(t *testing.T) {
	t.Parallel()
	admin, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p := &proxied{t: t, replace: strings.NewReplacer("127.0.0.1:0", admin)}
	p.start("", 1)
	drain := func(how string) {
		t.Helper()
		resp, err := http.Post("http://"+admin+"/-/drain?"+how, "", nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("drain?%s: got %v, %v; want 200", how, resp, err)
		}
		resp.Body.Close()
	}
	const emptied = "makes its clients leave, or stops: it is not ready"
	for _, how := range []string{"off", "on", "off"} {
		drain(how)
		want := how == "on"
		code, stdout, stderr := p.verb("cluster-health")
		if code != 0 || strings.Contains(stdout, emptied) != want || !strings.Contains(stdout, "cluster is healthy") {
			t.Errorf("with drain?%s: got status %d and %s%s, want 0, and the warning: %t", how, code, stdout, stderr, want)
		}
	}
	drain("on")
	code, stdout, stderr := p.verb("cluster-health", "--nagios")
	wants(t, code, stdout, stderr, 1, "ETCD WARNING - ", emptied)
}

// TestASingleMemberIsNotRemovedAndItsGrowthIsAnOutage makes the first step of the
// manual: a second member that has not started costs the quorum.
func TestASingleMemberIsNotRemovedAndItsGrowthIsAnOutage(t *testing.T) {
	t.Parallel() // most of the time it waits
	p := &proxied{t: t}
	p.start("", 1)
	code, stdout, stderr := p.verb(p.asRoot("member", "remove", "conf1001", "--yes", "--force")...)
	wants(t, code, stdout, stderr, 1, "it is the only member")
	code, stdout, stderr = p.verb(p.asRoot("member", "add", "conf1002", "http://127.0.0.1:1", "--yes")...)
	wants(t, code, stdout, stderr, 1, `answers 403: Closed by the proxy`, `unless its configuration has [surfaces] members = ["root"]`)
	code, stdout, stderr = p.verbAt(p.etcds.Members[0].URL(), "member", "add", "conf1002", "http://127.0.0.1:1", "--yes", "--wait", "--wait-timeout", "1ms")
	wants(t, code, stdout, stderr, 1, "until conf1002 has started and answers, the cluster has no quorum and accepts no writes",
		`ETCD_INITIAL_CLUSTER="`+p.etcds.Initial()+`,conf1002=http://127.0.0.1:1"`, "waiting for member ", "start its etcd and its proxy")
}

// TestAChangeThatEtcdDoesNotTakeYetIsTriedAgain changes a cluster that has just
// started: it refuses changes until its members have been connected for 5 s.
func TestAChangeThatEtcdDoesNotTakeYetIsTriedAgain(t *testing.T) {
	t.Parallel() // most of the time it waits
	c, err := proxytest.NewCluster(proxytest.ClusterOptions{Dir: t.TempDir(), Advertise: []string{"", "", ""}})
	t.Cleanup(c.Close)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxied{t: t, etcds: c}
	code, stdout, stderr := p.verbAt(c.Members[0].URL(), "member", "add", "conf1004", "http://127.0.0.1:1", "--yes")
	wants(t, code, stdout, stderr, 0, "# member conf1004 was added with id ")
}
