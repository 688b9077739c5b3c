package daemon_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest/dnstest"
)

// standIn is a member that counts the writes it receives.
type standIn struct {
	*httptest.Server
	name     string
	requests atomic.Int64
}

func newStandIn(t testing.TB, name string) *standIn {
	m := &standIn{name: name + ".example.org"}
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut { // and not a probe
			m.requests.Add(1)
		}
		daemontest.Echo(w, r)
	}))
	t.Cleanup(func() { m.Close() })
	return m
}

// port returns the port on which the member listens.
func (m *standIn) port() string {
	_, port, _ := strings.Cut(m.Listener.Addr().String(), ":")
	return port
}

// publish replaces the records by those of these members, the preferred first.
func publish(dns *dnstest.Server, service string, members ...*standIn) {
	var records []string
	for i, m := range members {
		records = append(records, dnstest.SRV(service, "example.org", i, 0, m.name, m.port()), m.name+". IN A 127.0.0.1")
	}
	dns.Set(records...)
}

// srvConfig returns the seed configuration with its endpoints in DNS.
func srvConfig(dns *dnstest.Server, refresh string) string {
	return strings.Replace(daemontest.SeedConfig, `endpoints = ["%s"]`, fmt.Sprintf("srv = \"example.org\"\nresolver = %q\nsrv_refresh = %q", dns.Addr(), refresh), 1)
}
