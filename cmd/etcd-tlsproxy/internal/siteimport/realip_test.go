package siteimport

import (
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
)

// behind returns a whole configuration with directives around and in a server that listens
// with some parameters.
func behind(http, server string, listens ...string) string {
	text := strings.Replace(wholeSite, "http {", "http { "+http, 1)
	return strings.Replace(text, "server { listen 4001 ssl;", "server { listen "+strings.Join(listens, "; listen ")+"; "+server, 1)
}

const announced = "4001 ssl proxy_protocol"

func TestLoadBalancersAreTakenOver(t *testing.T) {
	for text, want := range map[string][]string{
		behind("", "set_real_ip_from 192.0.2.10; set_real_ip_from 10.1.2.3/8; real_ip_header proxy_protocol;", announced):       {"192.0.2.10", "10.0.0.0/8"},
		behind("set_real_ip_from 2001:db8::/32; real_ip_header proxy_protocol;", "", announced, "[::]:4001 ssl proxy_protocol"): {"2001:db8::/32"},
		// What is in the server replaces what is outside.
		behind("set_real_ip_from 192.0.2.0/24; real_ip_header X-Real-IP;", "set_real_ip_from ::1; set_real_ip_from ::1; real_ip_header proxy_protocol; real_ip_recursive on;", announced): {"::1"},
	} {
		s, err := readWhole(text, nil)
		if err != nil {
			t.Errorf("%v, for\n%s", err, text)
			continue
		}
		if !slices.Equal(s.Balancers, want) {
			t.Errorf("got the load balancers %q, want %q, for\n%s", s.Balancers, want, text)
		}
		report, err := s.Report(acl.MatchSegments)
		if err != nil {
			t.Fatal(err)
		}
		if line := "\n[proxy_protocol]\nfrom = " + list(want) + "\n"; !strings.Contains(report.Config, line) {
			t.Errorf("got\n%s\nwant %q", report.Config, line)
		}
		told := map[string]bool{}
		for _, d := range report.Differences {
			told[d.Effect] = told[d.Effect] || strings.Contains(d.What, "proxy_protocol.from does not list")
		}
		if !told[Refused] || !told[Allowed] {
			t.Errorf("got the differences %+v, want those of connections from elsewhere", report.Differences)
		}
	}
}

func TestASiteWithoutThePROXYProtocolHasNoLoadBalancers(t *testing.T) {
	s, err := readWhole(wholeSite, nil)
	if err != nil {
		t.Fatal(err)
	}
	report, err := s.Report(acl.MatchSegments)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(report.Config, "proxy_protocol") {
		t.Errorf("got\n%s\nwant no load balancers", report.Config)
	}
	for _, d := range report.Differences {
		if strings.Contains(d.What, "PROXY") {
			t.Errorf("got the difference %+v, want none about load balancers", d)
		}
	}
}

func TestOtherAddressesOfClientsAreNotSupported(t *testing.T) {
	const believed = "real_ip_header proxy_protocol; "
	for text, says := range map[string]string{
		behind("", "", announced):                                                                "listen with proxy_protocol is not supported without real_ip_header proxy_protocol and set_real_ip_from",
		behind("", believed, announced):                                                          "listen with proxy_protocol is not supported without",
		behind("", "set_real_ip_from 192.0.2.1;", announced):                                     "listen with proxy_protocol is not supported without",
		behind("", "set_real_ip_from 192.0.2.1; real_ip_header X-Forwarded-For;", announced):     "listen with proxy_protocol is not supported without",
		behind("", believed+"set_real_ip_from 192.0.2.1;", announced, "[::]:4001 ssl"):           "listen with proxy_protocol is not supported beside one without it",
		behind("", believed+"set_real_ip_from 0.0.0.0/0;", announced):                            "not that of all addresses",
		behind("", believed+"set_real_ip_from unix:;", announced):                                "not that of all addresses",
		behind("", believed+"set_real_ip_from lb.example.org;", announced):                       "not that of all addresses",
		behind("", believed+"set_real_ip_from ::ffff:192.0.2.1;", announced):                     "not that of all addresses",
		behind("", believed+"set_real_ip_from ::ffff:192.0.2.1/128;", announced):                 "not that of all addresses",
		behind("", believed+"set_real_ip_from fe80::1%eth0;", announced):                         "not that of all addresses",
		behind("", believed+"set_real_ip_from 192.0.2.1 192.0.2.2;", announced):                  "not that of all addresses",
		behind("", "set_real_ip_from 192.0.2.1;", "4001 ssl"):                                    "set_real_ip_from is not supported",
		behind("set_real_ip_from 192.0.2.1;", "", "4001 ssl"):                                    "set_real_ip_from is not supported",
		behind("", believed, "4001 ssl"):                                                         "real_ip_header is not supported",
		behind("", "real_ip_recursive on;", "4001 ssl"):                                          "real_ip_recursive is not supported",
		strings.Replace(behind("", "", "4001 ssl"), "location / {", "location / { "+believed, 1): "real_ip_header is not supported",
		strings.Replace(behind("", "set_real_ip_from 192.0.2.1; "+believed, announced), "location / {", "location / { set_real_ip_from 192.0.2.2; ", 1): "set_real_ip_from is not supported",
	} {
		if _, err := readWhole(text, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q, for\n%s", err, says, text)
		}
	}
}
