package main

import (
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/dnstest"
)

// TestRecordsAreCheckedWithALiveCluster has a cluster of one member. The tests of the
// comparison cover the other differences.
func TestRecordsAreCheckedWithALiveCluster(t *testing.T) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir(), Advertise: "https://conf1001.example.org:4001"})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	dns := dnstest.New(t)
	p := &proxied{t: t}
	record := dnstest.SRV("etcd-client-ssl", "example.org", 0, 0, "conf1001.example.org", 4001)
	dns.Set(record, "conf1001.example.org. IN A 192.0.2.1")
	code, stdout, stderr := p.verbAt(etcd.URL(), "srv", "example.org", "--resolver", dns.Addr(), "--check")
	wants(t, code, stdout, stderr, 0, "consistent\n")

	dns.Set(record, dnstest.SRV("etcd-client-ssl", "example.org", 0, 0, "conf1002.example.org", 4001), "conf1001.example.org. IN A 192.0.2.1", "conf1002.example.org. IN A 192.0.2.2")
	code, stdout, stderr = p.verbAt(etcd.URL(), "srv", "example.org", "--resolver", dns.Addr())
	wants(t, code, stdout, stderr, 0, "consistent\n")
	code, stdout, stderr = p.verbAt(etcd.URL(), "srv", "example.org", "--resolver", dns.Addr(), "--check")
	wants(t, code, stdout, stderr, 1, "no member advertises https://conf1002.example.org:4001: python-etcd raises ValueError", "not consistent: 1 finding\n")
}
