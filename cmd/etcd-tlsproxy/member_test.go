package main

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestMembersAreLookedAtAddedAndRemoved follows the manual through the proxies, with
// all the mistakes that the manual warns of.
func TestMembersAreLookedAtAddedAndRemoved(t *testing.T) {
	t.Parallel() // most of the time it waits
	eachEtcd(t, func(t *testing.T, path string) {
		p := newProxied(t, path, 3)
		p.isHealthy()
		newcomer := p.refusesAndAdds()
		p.refusesTheLeader()
		p.removes(newcomer)
		p.refusesWhileOneIsDown()
		p.refusesWithoutQuorum()
	})
}

func (p *proxied) isHealthy() {
	p.t.Helper()
	leader, err := p.etcds.Leader()
	if err != nil {
		p.t.Fatal(err)
	}
	code, stdout, stderr := p.verb("cluster-health") // the proxies have other ports than 4001
	wants(p.t, code, stdout, stderr, 0, "cluster is healthy: 3 of 3 members, leader "+leader.Name()+", quorum 2, 1 may fail",
		"conf1003 (", ") is healthy: "+p.urls["conf1003"], " behind", "certificate until 20")
	if strings.Contains(stdout, "warning") {
		p.t.Errorf("the healthy cluster has warnings:\n%s", stdout)
	}
	code, stdout, stderr = p.verb("member", "list", "--output", "json")
	wants(p.t, code, stdout, stderr, 0)
	var listed memberList
	if err := json.Unmarshal([]byte(stdout), &listed); err != nil || len(listed.Members) != 3 {
		p.t.Fatalf("decoding the output: got the error %v for\n%s", err, stdout)
	}
	for _, m := range listed.Members {
		if m.Leader != (m.Name == leader.Name()) || m.ClientURLs[0] != p.urls[m.Name] || !m.Started {
			p.t.Errorf("a listed member: got %+v, want it started, at the URL %s, and leader %v", m, p.urls[m.Name], m.Name == leader.Name())
		}
	}
	code, stdout, stderr = p.verb("member", "list")
	wants(p.t, code, stdout, stderr, 0, "name="+leader.Name()+" peerURLs="+leader.PeerURL()+" clientURLs="+p.urls[leader.Name()]+" isLeader=true")
}

func (p *proxied) refusesAndAdds() (name string) {
	p.t.Helper()
	advertise := p.socket()
	newcomer, err := p.etcds.Newcomer(advertise)
	if err != nil {
		p.t.Fatal(err)
	}
	name, peer := newcomer.Name(), newcomer.PeerURL()
	u, err := url.Parse(advertise)
	if err != nil {
		p.t.Fatal(err)
	}
	add := func(args ...string) []string { return append([]string{"member", "add"}, args...) }
	for want, args := range map[string][]string{
		"peers with different schemes cannot reach each other":      add(name, strings.Replace(peer, "http:", "https:", 1)),
		"a loopback address cannot be reached from another machine": add(name, "http://conf1004.example.org:2380"),
		"the port that member conf1002 (":                           add(name, "http://127.0.0.1:"+strings.TrimPrefix(p.urls["conf1002"], "https://127.0.0.1:")),
		"already has that name":                                     add("conf1001", peer),
		"already has the peer URL " + p.etcds.Members[1].PeerURL():  add(name, p.etcds.Members[1].PeerURL()),
		"answers 401: The request requires user authentication":     add(name, peer, "--yes"),
		"give --user and --password-file of a user that surfaces.":  add(name, peer, "--yes"),
	} {
		code, stdout, stderr := p.verb(args...)
		wants(p.t, code, stdout, stderr, 1, want)
	}
	code, stdout, stderr := p.verb(add(name, peer)...)
	wants(p.t, code, stdout, stderr, 4, "nothing was done")
	type result struct {
		code           int
		stdout, stderr string
	}
	waited := make(chan result, 1)
	go func() {
		code, stdout, stderr := p.verb(p.asRoot(add(name, peer, "--yes", "--output", "json", "--proxy-port", u.Port(), "--cluster-name", "conf", "--wait", "--wait-timeout", "60s")...)...)
		waited <- result{code, stdout, stderr}
	}()
	initial := p.etcds.Initial() + "," + name + "=" + peer
	waitFor(p.t, "the newcomer is added", func() bool {
		_, stdout, _ := p.verb("member", "list")
		return strings.Contains(stdout, "[unstarted]: peerURLs="+peer)
	})
	// A second one, while the first has not started.
	code, stdout, stderr = p.verb(add("conf1005", "http://127.0.0.1:1")...)
	wants(p.t, code, stdout, stderr, 1, " was added and has not started: with two members missing")
	code, stdout, stderr = p.verb(add(name, peer)...)
	wants(p.t, code, stdout, stderr, 1, "was added earlier and has not started")
	code, stdout, stderr = p.verb("cluster-health")
	wants(p.t, code, stdout, stderr, 1, "cluster is degraded: 3 of 4 members", " is unstarted: it was added and has not started")

	p.front(newcomer, advertise)
	if err := p.etcds.Join(newcomer); err != nil {
		p.t.Fatal(err)
	}
	r := <-waited
	wants(p.t, r.code, r.stdout, r.stderr, 0, "from 3 to 4 members, and its quorum from 2 to 3", "4 members have a quorum of 3", "member "+name+" has started and answers")
	var added addedMember
	if err := json.Unmarshal([]byte(r.stdout), &added); err != nil {
		p.t.Fatalf("decoding the output: got the error %v for\n%s", err, r.stdout)
	}
	env := added.Member.Environment
	if env["ETCD_INITIAL_CLUSTER"] != initial || env["ETCD_INITIAL_CLUSTER_STATE"] != "existing" ||
		env["ETCD_NAME"] != name || env["ETCD_ADVERTISE_CLIENT_URLS"] != advertise ||
		added.Hiera.Discovery != initial || added.Hiera.Bootstrap {
		p.t.Errorf("member add printed\n%s\nwant the initial cluster %s", r.stdout, initial)
	}
	code, stdout, stderr = p.verb("cluster-health")
	wants(p.t, code, stdout, stderr, 0, "4 of 4 members", ") is healthy: "+advertise)
	return name
}

func (p *proxied) refusesTheLeader() {
	p.t.Helper()
	leader, err := p.etcds.Leader()
	if err != nil {
		p.t.Fatal(err)
	}
	code, stdout, stderr := p.verb(p.asRoot("member", "remove", leader.Name(), "--yes")...)
	wants(p.t, code, stdout, stderr, 1, "member "+leader.Name()+" (", "is the leader: ", "--force")
	code, stdout, stderr = p.verb(p.asRoot("member", "remove", leader.Name(), "--force")...)
	wants(p.t, code, stdout, stderr, 4, "1. FORCED although member "+leader.Name(), "nothing was done")
	code, stdout, stderr = p.verb("member", "remove", "conf1009")
	wants(p.t, code, stdout, stderr, 1, `no member has the name or the id "conf1009"`, "they are conf1001 (")
}

// removes removes a follower by its name, through the proxy of another member.
func (p *proxied) removes(name string) {
	p.t.Helper()
	leader, err := p.etcds.Leader()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range p.etcds.Members {
		if leader.Name() == name && m != leader { // another leads, if the newcomer does
			name = m.Name()
		}
	}
	code, stdout, stderr := p.verb(p.asRoot("member", "remove", name, "--yes")...)
	wants(p.t, code, stdout, stderr, 0, "from 4 to 3 members", "_etcd-client-ssl._tcp IN SRV ... "+strings.TrimPrefix(p.urls[name], "https://127.0.0.1:")+" 127.0.0.1.", "_etcd-server._tcp IN SRV")
	for _, m := range p.etcds.Members {
		if m.Name() == name {
			p.etcds.Left(m)
		}
	}
	if !strings.Contains(stdout, `profile::etcd::discovery: "`+p.etcds.Initial()+`"`) {
		p.t.Errorf("member remove printed\n%s\nwant the cluster %s", stdout, p.etcds.Initial())
	}
	code, stdout, stderr = p.verb("cluster-health")
	wants(p.t, code, stdout, stderr, 0, "3 of 3 members")
}

func (p *proxied) refusesWhileOneIsDown() {
	p.t.Helper()
	down, err := p.etcds.Follower()
	if err != nil {
		p.t.Fatal(err)
	}
	down.Close()
	var up string // another follower, whose proxy receives the requests
	leader, err := p.etcds.Leader()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range p.etcds.Members {
		if m != down && m != leader {
			up = m.Name()
		}
	}
	code, stdout, stderr := p.verbAt(p.urls[up], "cluster-health", "--proxy-port", "0")
	wants(p.t, code, stdout, stderr, 1, "cluster is degraded: 2 of 3 members", "member "+down.Name()+" (", "is unhealthy: "+p.urls[down.Name()]+": it answers /health with 503: etcd cannot be reached")
	code, stdout, stderr = p.verbAt(p.urls[up], "cluster-health", "--proxy-port", "0", "--nagios")
	// On a busy machine the other member can be an index or two behind.
	stdout = regexp.MustCompile(`lag=[0-9];`).ReplaceAllString(stdout, "lag=0;")
	wants(p.t, code, stdout, stderr, 1, "ETCD WARNING - member "+down.Name(), "| members=3 healthy=2;3:;2: margin=0;0:;0: has_leader=1;;1: lag=0;999;9999 certificate_days=29;21:;7:\n")
	code, stdout, stderr = p.verbAt(p.urls[up], p.asRoot("member", "add", "conf1006", "http://127.0.0.1:1", "--yes")...)
	wants(p.t, code, stdout, stderr, 1, "member "+down.Name(), "is unhealthy", "with a new member that has not started either, the quorum may be lost", "2 healthy members are fewer than the 3")
	code, stdout, stderr = p.verbAt(p.urls[up], p.asRoot("member", "remove", up, "--yes")...)
	wants(p.t, code, stdout, stderr, 1, "1 healthy members would remain, but 2 of 2 have to agree: the quorum would be lost")
	// The one that is down may go.
	code, stdout, stderr = p.verbAt(p.urls[up], p.asRoot("member", "remove", down.Name(), "--yes")...)
	wants(p.t, code, stdout, stderr, 0, "from 3 to 2 members, and its quorum from 2 to 2; then 0 of the members may fail")
	p.etcds.Left(down)
}

// refusesWithoutQuorum stops one of two members.
func (p *proxied) refusesWithoutQuorum() {
	p.t.Helper()
	down, up := p.etcds.Members[0], p.etcds.Members[1]
	down.Close()
	waitFor(p.t, "the quorum is lost", func() bool {
		code, stdout, _ := p.verbAt(p.urls[up.Name()], "cluster-health", "--nagios", "--timeout", "20s")
		return code == 2 && strings.Contains(stdout, "ETCD CRITICAL - there is no quorum: 0 of 2 members are healthy, but 2 are needed; ")
	})
	for _, args := range [][]string{{"member", "add", "conf1006", "http://127.0.0.1:1", "--force", "--yes"}, {"member", "remove", down.Name(), "--force", "--yes"}} {
		code, stdout, stderr := p.verbAt(p.urls[up.Name()], p.asRoot(args...)...)
		wants(p.t, code, stdout, stderr, 1, "no member is healthy, and a cluster without a quorum accepts no membership changes", "recover the cluster from a backup")
	}
	code, stdout, stderr := p.verbAt("https://127.0.0.1:1", "cluster-health", "--nagios")
	wants(p.t, code, stdout, stderr, 2, "ETCD CRITICAL - listing the members: no endpoint answers")
	code, stdout, stderr = p.verbAt("127.0.0.1:1", "cluster-health", "--nagios")
	wants(p.t, code, stdout, stderr, 3, "ETCD UNKNOWN - endpoint")
}
