package upstream

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest/dnstest"
)

func TestRecordsAddressesAndAliasesAreAskedFor(t *testing.T) {
	dns := dnstest.New(t)
	dns.Set(dnstest.SRV("etcd-client", "example.org", 10, 0, "Conf1001.example.org", 4001),
		"conf1001.example.org. IN A 192.0.2.2", "conf1001.example.org. IN A 192.0.2.1", "conf1001.example.org. IN AAAA 2001:db8::1",
		"alias.example.org. IN CNAME conf1001.example.org.")
	r := NewResolver(dns.Addr())
	records, err := r.Records(t.Context(), "_etcd-client._tcp.example.org")
	if err != nil || len(records.Usable) != 1 || records.Usable[0].Target != "Conf1001.example.org." || records.Usable[0].Port != 4001 || records.Unusable != nil {
		t.Errorf("looking up records: got %+v, %v, want those that were set", records, err)
	}
	if records, err := r.Records(t.Context(), "_etcd-server._tcp.example.org"); err != nil || records.Usable != nil || !strings.Contains(records.None, "no such host") {
		t.Errorf("looking up a name without records: got %+v, %v, want none and the answer of DNS", records, err)
	}
	want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")}
	for _, host := range []string{"conf1001.example.org", "alias.example.org"} {
		if got, err := r.Addresses(t.Context(), host); err != nil || !slices.Equal(got, want) {
			t.Errorf("looking up the addresses of %s: got %v, %v, want %v", host, got, err, want)
		}
	}
	if got, err := r.Addresses(t.Context(), "conf1009.example.org"); err != nil || got != nil {
		t.Errorf("looking up a host without addresses: got %v, %v, want nil, nil", got, err)
	}
	for host, want := range map[string]string{"alias.example.org": "conf1001.example.org", "CONF1001.example.org": "", "conf1009.example.org": ""} {
		if got, err := r.Alias(t.Context(), host); err != nil || got != want {
			t.Errorf("looking up the alias of %s: got %q, %v, want %q", host, got, err, want)
		}
	}
}

// TestADNSThatFailsHasSaidNothing wants errors. If a failed lookup counted as "no records",
// a broken resolver would be reported as a broken domain.
func TestADNSThatFailsHasSaidNothing(t *testing.T) {
	dns := dnstest.New(t)
	dns.Fail("_etcd-client._tcp.example.org")
	dns.Fail("conf1001.example.org")
	r := NewResolver(dns.Addr())
	_, records := r.Records(t.Context(), "_etcd-client._tcp.example.org")
	_, addresses := r.Addresses(t.Context(), "conf1001.example.org")
	_, alias := r.Alias(t.Context(), "conf1001.example.org")
	for _, err := range []error{records, addresses, alias} {
		if err == nil || !strings.Contains(err.Error(), dns.Addr()) {
			t.Errorf("looking up a name for which the server fails: got error %v, want one that names the server", err)
		}
	}
}
