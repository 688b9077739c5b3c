package upstream

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest/dnstest"
)

func TestOneBrokenRecordDoesNotKeepTheOthersFromServing(t *testing.T) {
	good := "a.example.org. IN A 198.51.100.1"
	for what, c := range map[string]struct {
		record  string
		fail    string // a name for which the DNS server fails
		problem string
	}{
		"a record without a host":              {plainRecord(0, 0, ""), "", "a record names no host"},
		"a record without a port":              {dnstest.SRV("etcd-client", "example.org", 0, 0, "b.example.org", 0), "", "the record of b.example.org names no port"},
		"a target that is an address":          {plainRecord(0, 0, "192.0.2.1"), "", "a target is not a valid name"},
		"a target that does not exist":         {plainRecord(0, 0, "b.example.org"), "", "b.example.org has no address"},
		"a target for which the server fails":  {plainRecord(0, 0, "b.example.org"), "b.example.org", "asked for the addresses of b.example.org: server misbehaving"},
		"a local name for which it fails, too": {plainRecord(0, 0, "localhost.example.org"), "localhost.example.org", "asked for the addresses of localhost.example.org"},
	} {
		dns := dnstest.New(t)
		dns.Set(plainRecord(10, 0, "a.example.org"), c.record, good)
		if c.fail != "" {
			dns.Fail(c.fail)
		}
		found, err := Discover(t.Context(), NewResolver(dns.Addr()), "example.org", maphash.MakeSeed(), nil)
		if err != nil || fmt.Sprint(found.Endpoints) != "[http://a.example.org:2379]" {
			t.Errorf("discovering with %s: got %+v, %v; want the other record", what, found, err)
			continue
		}
		if len(found.Problems) != 1 || !strings.HasPrefix(found.Problems[0], c.problem) || strings.Contains(found.Problems[0], "last lookup") {
			t.Errorf("discovering with %s: got the problems %q, want %q", what, found.Problems, c.problem)
		}
	}
}

func TestRecordsThatAreAllBrokenAreAnErrorAndNoReasonForPlaintext(t *testing.T) {
	for what, c := range map[string]struct {
		record, fail, says string
	}{
		"no port":                           {dnstest.SRV("etcd-client-ssl", "example.org", 0, 0, "b.example.org", 0), "", "no record is usable: the record of b.example.org names no port"},
		"no address":                        {secureRecord(0, 0, "b.example.org"), "", "no record is usable: b.example.org has no address"},
		"a target that is an address":       {secureRecord(0, 0, "192.0.2.1"), "", "no record is usable: a target is not a valid name"},
		"a name for which the server fails": {secureRecord(0, 0, "b.example.org"), "b.example.org", "asked for the addresses of b.example.org: server misbehaving"},
	} {
		dns := dnstest.New(t)
		dns.Set(c.record, plainRecord(0, 0, "a.example.org"), "a.example.org. IN A 198.51.100.1")
		if c.fail != "" {
			dns.Fail(c.fail)
		}
		found, err := Discover(t.Context(), NewResolver(dns.Addr()), "example.org", maphash.MakeSeed(), nil)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("discovering encrypted members with %s: got %+v, %v; want an error with %q", what, found, err, c.says)
		}
		if n := dns.Asked("udp", plainQuestion); n != 0 {
			t.Errorf("discovering encrypted members with %s: the others were asked for %d times, want 0", what, n)
		}
	}
}

func TestAMemberWhoseLookupFailsKeepsTheAddressesOfTheLastOne(t *testing.T) {
	dns, seed := dnstest.New(t), maphash.MakeSeed()
	records := []string{
		plainRecord(10, 0, "a.example.org"), plainRecord(10, 0, "b.example.org"),
		"a.example.org. IN A 198.51.100.1", "b.example.org. IN A 127.0.0.1", "b.example.org. IN A 198.51.100.2",
	}
	dns.Set(records...)
	discover := func(known []Endpoint) *Discovery {
		t.Helper()
		found, err := Discover(t.Context(), NewResolver(dns.Addr()), "example.org", seed, known)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	first := discover(nil)
	dns.Fail("b.example.org")
	// The endpoints, their addresses and their order are the same: b is on this machine.
	again := discover(first.Endpoints)
	if !slices.Equal(again.Endpoints, first.Endpoints) || len(again.Problems) != 1 || !strings.HasSuffix(again.Problems[0], "; those of the last lookup are used") {
		t.Errorf("discovering again while an address fails: got %+v, want %v and a problem", again, first.Endpoints)
	}
	if other := discover([]Endpoint{}); len(other.Endpoints) != 1 {
		t.Errorf("discovering without an earlier lookup while an address fails: got %+v, want one endpoint", other)
	}
}

func TestIfNoLookupOfAnAddressSucceedsTheDiscoveryFails(t *testing.T) {
	dns := dnstest.New(t)
	dns.Set(plainRecord(10, 0, "a.example.org"), "a.example.org. IN A 198.51.100.1")
	first, err := Discover(t.Context(), NewResolver(dns.Addr()), "example.org", maphash.MakeSeed(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dns.Fail("a.example.org")
	found, err := Discover(t.Context(), NewResolver(dns.Addr()), "example.org", maphash.MakeSeed(), first.Endpoints)
	if found != nil || err == nil || !strings.HasPrefix(err.Error(), "asked for the addresses of a.example.org: ") {
		t.Errorf("discovering while the address of the only member fails: got %+v, %v; want the failure", found, err)
	}
}
