package preflight

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

func TestAddressesOverlapIfTheirListenersWouldCollide(t *testing.T) {
	at := func(list ...string) (all []netip.AddrPort) {
		for _, text := range list {
			all = append(all, netip.MustParseAddrPort(text))
		}
		return all
	}
	for _, c := range []struct {
		a, b []netip.AddrPort
		want bool
	}{
		{at("127.0.0.1:1"), at("127.0.0.1:1"), true},
		{at("127.0.0.1:1"), at("127.0.0.1:2"), false},
		{at("127.0.0.1:0"), at("127.0.0.1:0"), false},
		{at("127.0.0.1:1"), at("127.0.0.2:1"), false},
		{at("[::]:1"), at("127.0.0.1:1"), true},
		{at("[::]:1"), at("[::1]:1"), true},
		{at("0.0.0.0:1"), at("[::1]:1"), false},
		{at("0.0.0.0:1"), at("[::]:1"), true},
		{at("0.0.0.0:1", "[::1]:2"), at("[::1]:2"), true},
	} {
		if got := overlap(c.a, c.b); got != c.want || overlap(c.b, c.a) != c.want {
			t.Errorf("overlap(%v, %v): got %t, want %t in both orders", c.a, c.b, got, c.want)
		}
	}
}

func TestPortsBelowTheLimitNeedARight(t *testing.T) {
	errs := new(config.Document).NewErrors()
	checkListen(t.Context(), errs, "127.0.0.1:1", "listen")
	err := errs.Err()
	if free := unprivilegedPort() <= 1 || mayBind(); free != (err == nil) || err != nil && !strings.Contains(err.Error(), "lacks the right to listen") {
		t.Errorf("port 1 for a process with the right %t: got the error %v", free, err)
	}
}

func TestACertificateThatEndsWithinAWeekIsNamed(t *testing.T) {
	now := time.Now()
	s := &State{Config: config.Default(), Document: new(config.Document), Certificates: []certs.Expiry{
		{Role: "server", NotAfter: now.Add(6 * 24 * time.Hour)}, {Role: "client_ca", NotAfter: now.Add(8 * 24 * time.Hour)}, {Role: "client_ca", NotAfter: now.Add(-time.Hour)},
	}}
	s.Config.Limits.Connections = 1
	if got := s.Advise(now); len(got) != 1 || !strings.Contains(got[0], "server: the certificate expires at ") || !strings.Contains(got[0], "in less than a week") {
		t.Errorf("got %q, want only the certificate of the server", got)
	}
}
