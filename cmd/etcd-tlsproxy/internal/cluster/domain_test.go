package cluster

import (
	"slices"
	"strings"
	"testing"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/proxy/proxytest/dnstest"
	"etcd-tlsproxy/proxy/upstream"
)

// consistent returns the records of a domain without findings.
func consistent() []string {
	var records []string
	for _, host := range []string{"conf1001.example.org", "conf1002.example.org", "conf1003.example.org"} {
		records = append(records, dnstest.SRV("etcd-server", "example.org", 0, 0, host, 2380), dnstest.SRV("etcd-client-ssl", "example.org", 0, 0, host, 4001),
			dnstest.SRV("etcd", "example.org", 0, 0, host, 4001), host+". IN A 192.0.2.1")
	}
	return records
}

func lookUp(t *testing.T, dns *dnstest.Server, records ...string) *Domain {
	t.Helper()
	dns.Set(records...)
	return LookUp(t.Context(), upstream.NewResolver(dns.Addr()), "example.org")
}

func without(records []string, what string) []string {
	return slices.DeleteFunc(records, func(r string) bool { return strings.Contains(r, what) })
}

func TestADomainThatIsConsistentHasNoFindings(t *testing.T) {
	dns := dnstest.New(t)
	d := lookUp(t, dns, consistent()...)
	if findings := d.Findings(); findings != nil {
		t.Errorf("findings: got %q, want none", findings)
	}
	const want = "conf1001=http://conf1001.example.org:2380,conf1002=http://conf1002.example.org:2380,conf1003=http://conf1003.example.org:2380"
	if got := InitialCluster(d.Peers()); got != want {
		t.Errorf("initial cluster: got %s, want %s", got, want)
	}
	if n := dns.Asked("udp", "conf1001.example.org"); n > 8 {
		t.Errorf("a host in three services was queried %d times, want at most 8", n)
	}
	// Members that find each other by their flags need no records for peers.
	if findings := lookUp(t, dns, without(consistent(), "etcd-server")...).Findings(); findings != nil {
		t.Errorf("findings without records for peers: got %q, want none", findings)
	}
}

func TestEachInconsistencyOfADomainIsFound(t *testing.T) {
	dns := dnstest.New(t)
	for want, records := range map[string][]string{
		"_etcd-server._tcp.example.org: conf1003.example.org:2380: the target has no address":      without(consistent(), "conf1003.example.org. IN A"),
		"conf1003.example.org: it has a record for peers, but none for clients":                    without(consistent(), "_etcd-client-ssl._tcp.example.org. 60 IN SRV 0 0 4001 conf1003"),
		"conf1003.example.org: it has a record for clients, but none for peers":                    without(consistent(), "2380 conf1003"),
		"example.org: there are records for peers, but none for clients":                           without(consistent(), "etcd-client"),
		"_etcd-server-ssl._tcp.example.org and _etcd-server._tcp.example.org: schemes are mixed":   append(consistent(), dnstest.SRV("etcd-server-ssl", "example.org", 0, 0, "conf1001.example.org", 2380)),
		"_etcd-client-ssl._tcp.example.org and _etcd-client._tcp.example.org: schemes are mixed":   append(consistent(), dnstest.SRV("etcd-client", "example.org", 0, 0, "conf1001.example.org", 4001)),
		"Conf1001.example.org:4001: there is more than one record for it":                          append(consistent(), dnstest.SRV("etcd-client-ssl", "example.org", 5, 0, "Conf1001.example.org", 4001)),
		"the ports differ: 2379 (conf1001.example.org), 4001 (":                                    append(consistent(), dnstest.SRV("etcd-client-ssl", "example.org", 0, 0, "conf1001.example.org", 2379)),
		"_etcd._tcp.example.org: conf1001.example.org:2379: no record for clients points to it":    append(consistent(), dnstest.SRV("etcd", "example.org", 0, 0, "conf1001.example.org", 2379)),
		"conf1009.example.org:4001: the target is an alias (CNAME) of conf1001.example.org":        append(consistent(), dnstest.SRV("etcd-client-ssl", "example.org", 0, 0, "conf1009.example.org", 4001), "conf1009.example.org. IN CNAME conf1001.example.org."),
		"_etcd-client-ssl._tcp.example.org: the record of conf1001.example.org names no port":      append(consistent(), dnstest.SRV("etcd-client-ssl", "example.org", 0, 0, "conf1001.example.org", 0)),
		"example.org: there are neither records for peers (_etcd-server-ssl._tcp, _etcd-server._t": {"example.org. IN A 192.0.2.1"},
	} {
		if findings := lookUp(t, dns, records...).Findings(); !slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, want) }) {
			t.Errorf("findings: got %q, want %q", findings, want)
		}
	}
}

// TestNothingIsConcludedFromWhatDNSDidNotAnswer has a resolver that fails for the records
// for clients. The failure is the finding; that there are no records is not one.
func TestNothingIsConcludedFromWhatDNSDidNotAnswer(t *testing.T) {
	dns := dnstest.New(t)
	dns.Set(consistent()...)
	dns.Fail("_etcd-client-ssl._tcp.example.org")
	d := LookUp(t.Context(), upstream.NewResolver(dns.Addr()), "example.org")
	findings := append(d.Findings(), d.Compare([]client.Member{{ID: "1", Name: "conf1001", ClientURLs: []string{"https://conf1001.example.org:4001"}}})...)
	if len(findings) == 0 || !strings.HasPrefix(findings[0], "asked for _etcd-client-ssl._tcp.example.org: ") {
		t.Fatalf("findings: got %q, want the failed query first", findings)
	}
	for _, f := range findings[1:] {
		if strings.Contains(f, "client") {
			t.Errorf("got finding %q, want no conclusion from the failed query", f)
		}
	}
}

func TestRecordsAreComparedWithTheLiveCluster(t *testing.T) {
	d := lookUp(t, dnstest.New(t), consistent()...)
	live := func(change func([]client.Member) []client.Member) []string {
		var members []client.Member
		for _, name := range []string{"conf1001", "conf1002", "conf1003"} {
			members = append(members, client.Member{ID: "a" + name, Name: name, PeerURLs: []string{"http://" + name + ".example.org:2380"}, ClientURLs: []string{"https://" + name + ".example.org:4001"}})
		}
		return d.Compare(change(members))
	}
	if findings := live(func(m []client.Member) []client.Member { return m }); findings != nil {
		t.Errorf("findings for the members of the records: got %q, want none", findings)
	}
	for want, change := range map[string]func(m []client.Member) []client.Member{
		"member conf1004 (b): no record for peers gives its peer URL http://conf1004.example.org:2380": func(m []client.Member) []client.Member {
			return append(m, client.Member{ID: "b", Name: "conf1004", PeerURLs: []string{"http://conf1004.example.org:2380"}})
		},
		"_etcd-server._tcp.example.org: conf1003.example.org:2380: no member has the peer URL http://conf1003.example.org:2380": func(m []client.Member) []client.Member { return m[:2] },
		"no member advertises https://conf1003.example.org:4001: python-etcd raises ValueError":                                 func(m []client.Member) []client.Member { return m[:2] },
		"_etcd._tcp.example.org: no member advertises conf1003.example.org:4001":                                                func(m []client.Member) []client.Member { return m[:2] },
		"member conf1001 (aconf1001): no record for clients gives the URL https://Conf1001.example.org:4001 that it advertises": func(m []client.Member) []client.Member {
			m[0].ClientURLs[0] = "https://Conf1001.example.org:4001" // a different URL to a client that compares bytes
			return m
		},
		"conf1002:2379 that it advertises": func(m []client.Member) []client.Member { m[1].ClientURLs[0] = "http://conf1002:2379"; return m },
		"member c: it was added and has not started": func(m []client.Member) []client.Member {
			return append(m, client.Member{ID: "c", PeerURLs: []string{"http://conf1004.example.org:2380"}})
		},
	} {
		if findings := live(change); !slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, want) }) {
			t.Errorf("findings: got %q, want %q", findings, want)
		}
	}
}

func TestARemovedMembersRecordsAreNamed(t *testing.T) {
	d := lookUp(t, dnstest.New(t), consistent()...)
	h := &Health{Members: []MemberHealth{
		{ID: "1", Name: "conf1001", PeerURLs: []string{"http://conf1001.example.org:2380"}},
		{ID: "2", Name: "conf1002", PeerURLs: []string{"http://conf1002.example.org:2380"}, ClientURLs: []string{"https://conf1002.example.org:4001"}},
	}}
	cleanup := h.CleanupAfter(&h.Members[1], d)
	want := []string{"_etcd-server._tcp.example.org. IN SRV 0 0 2380 conf1002.example.org.", "_etcd-client-ssl._tcp.example.org. IN SRV 0 0 4001 conf1002.example.org.", "_etcd._tcp.example.org. IN SRV 0 0 4001 conf1002.example.org."}
	if !slices.Equal(cleanup.Records, want) || cleanup.Hiera.Discovery != "conf1001=http://conf1001.example.org:2380" {
		t.Errorf("got records %q and hiera %+v, want records %q and hiera of conf1001 alone", cleanup.Records, cleanup.Hiera, want)
	}
}
