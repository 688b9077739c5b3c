package upstream

import (
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest/dnstest"
)

const (
	plainQuestion  = "_etcd-client._tcp.example.org"
	secureQuestion = "_etcd-client-ssl._tcp.example.org"
)

func plainRecord(priority, weight int, target string) string {
	return dnstest.SRV("etcd-client", "example.org", priority, weight, target, 2379)
}

func secureRecord(priority, weight int, target string) string {
	return dnstest.SRV("etcd-client-ssl", "example.org", priority, weight, target, 2379)
}

// discover asks a DNS server, and returns its endpoints as text.
func discover(t testing.TB, dns *dnstest.Server) (string, error) {
	t.Helper()
	found, err := Discover(t.Context(), NewResolver(dns.Addr()), "example.org", maphash.MakeSeed())
	return strings.Trim(fmt.Sprint(found), "[]"), err
}

func wantEndpoints(t testing.TB, dns *dnstest.Server, want string) {
	t.Helper()
	if got, err := discover(t, dns); got != want || err != nil {
		t.Errorf("found %q, %v; want %q", got, err, want)
	}
}

func wantNothing(t testing.TB, dns *dnstest.Server, says ...string) {
	t.Helper()
	got, err := discover(t, dns)
	if got != "" || err == nil {
		t.Fatalf("found %q, %v", got, err)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

func TestEitherKindOfRecordIsFound(t *testing.T) {
	dns := dnstest.New(t)
	dns.Set(plainRecord(0, 0, "a.example.org"))
	wantEndpoints(t, dns, "http://a.example.org:2379")
	dns.Set(secureRecord(0, 0, "a.example.org"))
	wantEndpoints(t, dns, "https://a.example.org:2379")
}

func TestEncryptedEndpointsAreNotMixedWithOthers(t *testing.T) {
	dns := dnstest.New(t)
	dns.Set(plainRecord(0, 9, "a.example.org"), secureRecord(7, 0, "b.example.org"), plainRecord(0, 9, "b.example.org"))
	wantEndpoints(t, dns, "https://b.example.org:2379")
	if n := dns.Asked("udp", plainQuestion); n != 0 {
		t.Errorf("the others were asked for %d times", n)
	}
}

func TestAFailingServerDoesNotLeadToPlaintext(t *testing.T) {
	dns := dnstest.New(t)
	dns.Set(plainRecord(0, 0, "a.example.org"))
	dns.Fail(secureQuestion)
	wantNothing(t, dns, secureQuestion, "server misbehaving", dns.Addr())
	if n := dns.Asked("udp", plainQuestion); n != 0 {
		t.Errorf("the others were asked for %d times", n)
	}
}

func TestPrioritiesMakeTheOrder(t *testing.T) {
	dns := dnstest.New(t)
	dns.Set(plainRecord(20, 100, "a.example.org"), plainRecord(30, 0, "b.example.org"), plainRecord(10, 1, "c.example.org"))
	wantEndpoints(t, dns, "http://c.example.org:2379 http://a.example.org:2379 http://b.example.org:2379")
}

func TestTheLocalMemberIsFirst(t *testing.T) {
	dns := dnstest.New(t)
	records := []string{plainRecord(10, 9, "a.example.org"), plainRecord(20, 0, "b.example.org"), plainRecord(10, 9, "nowhere.example.org"),
		"a.example.org. IN A 198.51.100.1"}
	dns.Set(append(records, "b.example.org. IN A 198.51.100.2", "b.example.org. IN A 127.0.1.1")...)
	if got, err := discover(t, dns); err != nil || !strings.HasPrefix(got, "http://b.") {
		t.Errorf("found %q, %v", got, err)
	}
	dns.Set(append(records, "b.example.org. IN AAAA ::1")...)
	if got, err := discover(t, dns); err != nil || !strings.HasPrefix(got, "http://b.") {
		t.Errorf("found %q, %v", got, err)
	}
	dns.Set(append(records, "b.example.org. IN A 198.51.100.2")...)
	if got, err := discover(t, dns); err != nil || !strings.HasSuffix(got, " http://b.example.org:2379") {
		t.Errorf("with nothing local, found %q, %v", got, err)
	}
}

func TestAnAddressOfThisMachineIsItsOwn(t *testing.T) {
	own := []net.Addr{&net.IPNet{IP: net.ParseIP("192.0.2.1"), Mask: net.CIDRMask(24, 32)}, &net.IPNet{IP: net.ParseIP("2001:db8::1"), Mask: net.CIDRMask(64, 128)}}
	check := func(address string, want bool) {
		t.Helper()
		if got := isOwn(netip.MustParseAddr(address), own); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	check("192.0.2.1", true)
	check("2001:db8::1", true)
	check("127.0.1.1", true)
	check("::1", true)
	check("192.0.2.2", false) // beside it in its network
	check("2001:db8::2", false)
}

func TestTheOrderIsNotKnownWhileAnAddressFails(t *testing.T) {
	dns := dnstest.New(t)
	dns.Set(plainRecord(10, 0, "a.example.org"), plainRecord(10, 0, "b.example.org"), "b.example.org. IN A 127.0.0.1")
	dns.Fail("a.example.org")
	wantNothing(t, dns, "addresses of a.example.org", "server misbehaving")
}

func TestAnAnswerThatDoesNotFitIsAskedForOverTCP(t *testing.T) {
	dns := dnstest.New(t)
	var records []string
	for i := range 100 {
		records = append(records, plainRecord(i, 0, fmt.Sprintf("member-%02d.example.org", i)))
	}
	dns.Set(records...)
	got, err := discover(t, dns)
	if n := len(strings.Fields(got)); n != 100 || err != nil {
		t.Errorf("%d endpoints, %v", n, err)
	}
	if udp, tcp := dns.Asked("udp", plainQuestion), dns.Asked("tcp", plainQuestion); udp != 1 || tcp != 1 {
		t.Errorf("asked %d times over UDP and %d times over TCP", udp, tcp)
	}
}

func TestNoRecordsAreAnErrorThatNamesBothQuestions(t *testing.T) {
	dns := dnstest.New(t)
	wantNothing(t, dns, secureQuestion+": no such host, says "+dns.Addr(), plainQuestion+": no such host, says "+dns.Addr())
	// The names are there, the type is not.
	dns.Set(plainQuestion+". IN TXT none", secureQuestion+". IN TXT none")
	wantNothing(t, dns, secureQuestion, plainQuestion)
	dns.Set(secureRecord(0, 0, ""), plainRecord(0, 0, ""))
	wantNothing(t, dns, secureQuestion+": the domain says that it has none", plainQuestion+": the domain says that it has none")
}

func TestADomainWithoutEncryptedMembersMaySaySo(t *testing.T) {
	dns := dnstest.New(t)
	dns.Set(secureRecord(0, 0, ""), plainRecord(0, 0, "a.example.org"))
	wantEndpoints(t, dns, "http://a.example.org:2379")
}

func TestARecordThatCannotBeDialledIsAnError(t *testing.T) {
	dns := dnstest.New(t)
	dns.Set(plainRecord(0, 0, "a.example.org"), dnstest.SRV("etcd-client", "example.org", 0, 0, "b.example.org", 0))
	wantNothing(t, dns, plainQuestion, "no port")
	dns.Set(plainRecord(0, 0, "a.example.org"), plainRecord(0, 0, "192.0.2.1"))
	wantNothing(t, dns, plainQuestion)
}

func TestTheSpellingOfANameIsNoChange(t *testing.T) {
	dns := dnstest.New(t)
	dns.Set(plainRecord(1, 0, "A.Example.org"), plainRecord(2, 0, "a.eXample.org"))
	wantEndpoints(t, dns, "http://a.example.org:2379")
}
