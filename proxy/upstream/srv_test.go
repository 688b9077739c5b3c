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

// publish replaces all records. A target without an address gets one on another machine.
func publish(dns *dnstest.Server, records ...string) {
	all := strings.Join(records, "\n")
	for _, record := range records {
		if _, target, ok := strings.Cut(record, " SRV "); ok {
			target = target[strings.LastIndexByte(target, ' ')+1:]
			if address := target + " IN A"; !strings.Contains(all, address) {
				all += address
				records = append(records, address+" 198.51.100.1")
			}
		}
	}
	dns.Set(records...)
}

// discover looks up the endpoints at a DNS server, and returns them as text.
func discover(t testing.TB, dns *dnstest.Server) (string, error) {
	t.Helper()
	found, err := Discover(t.Context(), NewResolver(dns.Addr()), "example.org", maphash.MakeSeed(), nil)
	if err != nil {
		return "", err
	}
	return strings.Trim(fmt.Sprint(found.Endpoints), "[]"), nil
}

func wantEndpoints(t testing.TB, dns *dnstest.Server, want string) {
	t.Helper()
	if got, err := discover(t, dns); got != want || err != nil {
		t.Errorf("discovering endpoints: got %q, %v, want %q", got, err, want)
	}
}

func wantNothing(t testing.TB, dns *dnstest.Server, says ...string) {
	t.Helper()
	got, err := discover(t, dns)
	if got != "" || err == nil {
		t.Fatalf("discovering endpoints: got %q, %v, want an error", got, err)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("discovering endpoints: got error %q, want %q in it", err, text)
		}
	}
}

func TestEitherKindOfRecordIsFound(t *testing.T) {
	dns := dnstest.New(t)
	publish(dns, plainRecord(0, 0, "a.example.org"))
	wantEndpoints(t, dns, "http://a.example.org:2379")
	publish(dns, secureRecord(0, 0, "a.example.org"))
	wantEndpoints(t, dns, "https://a.example.org:2379")
}

func TestEncryptedEndpointsAreNotMixedWithOthers(t *testing.T) {
	dns := dnstest.New(t)
	publish(dns, plainRecord(0, 9, "a.example.org"), secureRecord(7, 0, "b.example.org"), plainRecord(0, 9, "b.example.org"))
	wantEndpoints(t, dns, "https://b.example.org:2379")
	if n := dns.Asked("udp", plainQuestion); n != 0 {
		t.Errorf("the others were asked for %d times", n)
	}
}

func TestAFailingServerDoesNotLeadToPlaintext(t *testing.T) {
	dns := dnstest.New(t)
	publish(dns, plainRecord(0, 0, "a.example.org"))
	dns.Fail(secureQuestion)
	wantNothing(t, dns, secureQuestion, "server misbehaving", dns.Addr())
	if n := dns.Asked("udp", plainQuestion); n != 0 {
		t.Errorf("the others were asked for %d times", n)
	}
}

func TestPrioritiesMakeTheOrder(t *testing.T) {
	dns := dnstest.New(t)
	publish(dns, plainRecord(20, 100, "a.example.org"), plainRecord(30, 0, "b.example.org"), plainRecord(10, 1, "c.example.org"))
	wantEndpoints(t, dns, "http://c.example.org:2379 http://a.example.org:2379 http://b.example.org:2379")
}

func TestTheLocalMemberIsFirst(t *testing.T) {
	dns := dnstest.New(t)
	records := []string{plainRecord(10, 9, "a.example.org"), plainRecord(20, 0, "b.example.org"),
		"a.example.org. IN A 198.51.100.1"}
	dns.Set(append(records, "b.example.org. IN A 198.51.100.2", "b.example.org. IN A 127.0.1.1")...)
	if got, err := discover(t, dns); err != nil || !strings.HasPrefix(got, "http://b.") {
		t.Errorf("with b at 127.0.1.1: got %q, %v, want b first", got, err)
	}
	dns.Set(append(records, "b.example.org. IN AAAA ::1")...)
	if got, err := discover(t, dns); err != nil || !strings.HasPrefix(got, "http://b.") {
		t.Errorf("with b at ::1: got %q, %v, want b first", got, err)
	}
	dns.Set(append(records, "b.example.org. IN A 198.51.100.2")...)
	if got, err := discover(t, dns); err != nil || !strings.HasSuffix(got, " http://b.example.org:2379") {
		t.Errorf("without a local member: got %q, %v, want b last", got, err)
	}
}

func TestAnAddressOfThisMachineIsItsOwn(t *testing.T) {
	own := []net.Addr{&net.IPNet{IP: net.ParseIP("192.0.2.1"), Mask: net.CIDRMask(24, 32)}, &net.IPNet{IP: net.ParseIP("2001:db8::1"), Mask: net.CIDRMask(64, 128)}}
	check := func(address string, want bool) {
		t.Helper()
		if got := isLocal(netip.MustParseAddr(address), own); got != want {
			t.Errorf("whether %s is local: got %v, want %v", address, got, want)
		}
	}
	check("192.0.2.1", true)
	check("2001:db8::1", true)
	check("127.0.1.1", true)
	check("::1", true)
	check("192.0.2.2", false) // another host in the same network
	check("2001:db8::2", false)
}

func TestAnAnswerThatDoesNotFitIsAskedForOverTCP(t *testing.T) {
	dns := dnstest.New(t)
	var records []string
	for i := range 100 {
		records = append(records, plainRecord(i, 0, fmt.Sprintf("member-%02d.example.org", i)))
	}
	publish(dns, records...)
	got, err := discover(t, dns)
	if n := len(strings.Fields(got)); n != 100 || err != nil {
		t.Errorf("discovering 100 members: got %d endpoints, %v, want 100", n, err)
	}
	if udp, tcp := dns.Asked("udp", plainQuestion), dns.Asked("tcp", plainQuestion); udp != 1 || tcp != 1 {
		t.Errorf("an answer that does not fit into UDP: got %d queries over UDP and %d over TCP, want 1 and 1", udp, tcp)
	}
}

func TestAMemberWithoutAnAddressIsLeftOut(t *testing.T) {
	dns := dnstest.New(t)
	dns.Set(plainRecord(1, 0, "a.example.org"), plainRecord(2, 0, "b.example.org"), "b.example.org. IN A 198.51.100.1")
	wantEndpoints(t, dns, "http://b.example.org:2379")
	dns.Set(plainRecord(1, 0, "a.example.org"))
	wantNothing(t, dns, plainQuestion, "no record is usable: a.example.org has no address")
}

func TestAnotherAddressIsAChangeAndAnotherOrderIsNot(t *testing.T) {
	dns, draw := dnstest.New(t), maphash.MakeSeed()
	find := func(addresses ...string) Endpoint {
		t.Helper()
		records := []string{plainRecord(0, 0, "a.example.org")}
		for _, address := range addresses {
			records = append(records, "a.example.org. IN A "+address)
		}
		dns.Set(records...)
		found, err := Discover(t.Context(), NewResolver(dns.Addr()), "example.org", draw, nil)
		if err != nil || len(found.Endpoints) != 1 {
			t.Fatalf("discovering endpoints: got %v, %v, want one", found, err)
		}
		return found.Endpoints[0]
	}
	at := find("198.51.100.1", "198.51.100.2")
	if again := find("198.51.100.2", "198.51.100.1"); again != at {
		t.Errorf("the same addresses in another order: got %q, want %q", again.address, at.address)
	}
	if other := find("198.51.100.1", "198.51.100.3"); other == at {
		t.Errorf("with another address: got the same endpoint %q, want another", other.address)
	}
}

func TestAddressesAreDialledInTheResolversOrderOfKinds(t *testing.T) {
	check := func(want string, addresses ...string) {
		t.Helper()
		var parsed []netip.Addr
		for _, address := range addresses {
			parsed = append(parsed, netip.MustParseAddr(address))
		}
		if got := joinAddresses(parsed, 1); got != want {
			t.Errorf("joining the addresses %v: got %q, want %q", addresses, got, want)
		}
	}
	check("")
	check("198.51.100.1:1 198.51.100.2:1 [2001:db8::1]:1", "198.51.100.2", "2001:db8::1", "198.51.100.1")
	check("[2001:db8::1]:1 [2001:db8::2]:1 198.51.100.1:1", "2001:db8::2", "198.51.100.1", "2001:db8::1")
}

func TestNoRecordsAreAnErrorThatNamesBothQuestions(t *testing.T) {
	dns := dnstest.New(t)
	wantNothing(t, dns, secureQuestion+": no such host, says "+dns.Addr(), plainQuestion+": no such host, says "+dns.Addr())
	// The names exist, but have no records of this type.
	publish(dns, plainQuestion+". IN TXT none", secureQuestion+". IN TXT none")
	wantNothing(t, dns, secureQuestion, plainQuestion)
	publish(dns, secureRecord(0, 0, ""), plainRecord(0, 0, ""))
	wantNothing(t, dns, secureQuestion+": the domain states that it has no such service", plainQuestion+": the domain states that it has no such service")
}

func TestADomainWithoutEncryptedMembersMaySaySo(t *testing.T) {
	dns := dnstest.New(t)
	publish(dns, secureRecord(0, 0, ""), plainRecord(0, 0, "a.example.org"))
	wantEndpoints(t, dns, "http://a.example.org:2379")
}

func TestTheSpellingOfANameIsNoChange(t *testing.T) {
	dns := dnstest.New(t)
	publish(dns, plainRecord(1, 0, "A.Example.org"), plainRecord(2, 0, "a.eXample.org"))
	wantEndpoints(t, dns, "http://a.example.org:2379")
}
