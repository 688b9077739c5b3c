package daemon_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/dnstest"
)

// refresh requests a reload, and waits until n refreshes have had the result.
func (s *service) refresh(result string, n int) {
	s.T.Helper()
	if status, body := s.Admin("POST", "/-/reload"); status != 200 {
		s.T.Fatalf("reload: got status %d with %q, want 200", status, body)
	}
	s.WaitForMetric(fmt.Sprintf("etcd_tlsproxy_srv_refreshes_total{result=%q} %d\n", result, n))
}

func (s *service) wantPut(status int) {
	s.T.Helper()
	if got := s.Put("conftool", "conftool-1"); got != status {
		s.T.Errorf("a write: got status %d, want %d; the log:\n%s", got, status, s.Log)
	}
}

func (s *service) wantLogged(text string, n int) {
	s.T.Helper()
	if got := strings.Count(s.Log.String(), text); got != n {
		s.T.Errorf("the log contains %q %d times, want %d:\n%s", text, got, n, s.Log)
	}
}

func TestMembersComeAndGoWithoutAFailedRequest(t *testing.T) {
	t.Parallel()
	dns, a, b := dnstest.New(t), newStandIn(t, "a"), newStandIn(t, "b")
	a.Start()
	b.Start()
	publish(dns, "etcd-client", a)
	s := startService(t, srvConfig(dns, "1s"))

	stop, failed := make(chan struct{}), errgroup.Group{}
	var done [4]atomic.Int64
	for i := range done {
		method := []string{"GET", "PUT"}[i%2]
		failed.Go(func() error {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.PKI.Pool()}}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				req, err := http.NewRequest(method, s.URL+"/v2/keys/eventlogging/a", nil)
				if err != nil {
					return err
				}
				resp, err := client.Do(req)
				if err != nil {
					return err
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil {
					return fmt.Errorf("%s: reading the body of status %d: %w", method, resp.StatusCode, err)
				}
				if resp.StatusCode != 200 {
					return fmt.Errorf("%s: got status %d with %q, want 200", method, resp.StatusCode, body)
				}
				done[i].Add(1)
			}
		})
	}
	// The second answer that a client receives from now on belongs to a request that it
	// started after now.
	pass := func() {
		t.Helper()
		for i := range done {
			before := done[i].Load()
			s.Eventually("a client receives two more answers", func() bool { return done[i].Load() >= before+2 })
		}
	}
	pass()
	publish(dns, "etcd-client", b, a)
	s.Eventually("the new member receives requests", func() bool { return b.requests.Load() > 0 })
	publish(dns, "etcd-client", b)
	s.Eventually("the old member is not in use", func() bool { return strings.Count(s.Log.String(), "endpoints have changed") == 2 })
	pass()
	a.Close()
	pass()
	c := newStandIn(t, "c")
	c.Start()
	publish(dns, "etcd-client", c)
	s.Eventually("the third member receives requests", func() bool { return c.requests.Load() > 0 })
	pass()
	close(stop)
	if err := failed.Wait(); err != nil {
		t.Errorf("a request failed while members changed: %v", err)
	}
}

func TestARunningRequestFinishesOnAMemberThatHasGone(t *testing.T) {
	dns, a, b := dnstest.New(t), newStandIn(t, "a"), newStandIn(t, "b")
	received, release := make(chan struct{}), make(chan struct{})
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut { // and not the probe of a scrape
			received <- struct{}{}
			<-release
		}
		daemontest.Echo(w, r)
	})
	a.Start()
	b.Start()
	publish(dns, "etcd-client", a)
	s := startService(t, srvConfig(dns, "1h"))
	status := make(chan int)
	go func() { status <- s.Put("conftool", "conftool-1") }()
	<-received
	publish(dns, "etcd-client", b)
	s.refresh("ok", 1)
	s.wantPut(200) // on the other member: the first one does not answer
	close(release)
	if got := <-status; got != 200 {
		t.Errorf("the request that ran on the removed member: got status %d, want 200", got)
	}
}

func TestAFailedRefreshKeepsServingAndIsToldOnce(t *testing.T) {
	dns, a := dnstest.New(t), newStandIn(t, "a")
	a.Start()
	publish(dns, "etcd-client", a)
	s := startService(t, srvConfig(dns, "1h"))
	s.wantPut(200)
	dns.Fail("_etcd-client._tcp.example.org")
	s.refresh("failed", 1)
	s.wantPut(200)
	dns.Set() // no records
	s.refresh("failed", 2)
	s.wantPut(200)
	s.wantLogged("looking up the endpoints failed", 1)
	s.wantLogged("server misbehaving", 1)
	publish(dns, "etcd-client", a)
	s.refresh("ok", 1)
	s.refresh("ok", 2)
	s.wantLogged("looking up the endpoints succeeds again", 1)
	dns.Set()
	s.refresh("failed", 3)
	s.wantLogged("looking up the endpoints failed", 2)
	s.WaitForMetric(`etcd_tlsproxy_upstream_events_total{event="dial"} 1`)
}

func TestTheOthersServeBesideABrokenRecord(t *testing.T) {
	dns, a, b := dnstest.New(t), newStandIn(t, "a"), newStandIn(t, "b")
	a.Start()
	b.Start()
	good := []string{dnstest.SRV("etcd-client", "example.org", 0, 0, a.name, a.port()), a.name + ". IN A 127.0.0.1"}
	dns.Set(append(good, dnstest.SRV("etcd-client", "example.org", 0, 0, "c.example.org", 0))...)
	s := startService(t, srvConfig(dns, "1h"))
	s.wantPut(200)
	s.wantLogged("upstream.srv: the record of c.example.org names no port", 1)
	publish(dns, "etcd-client", b, a)
	s.refresh("ok", 1)
	s.wantPut(200)
	if n := b.requests.Load(); n != 1 {
		t.Fatalf("requests to the preferred member: got %d, want 1", n)
	}
	// A member whose lookup fails stays where it is, and this is logged once.
	dns.Fail(b.name)
	s.refresh("ok", 2)
	s.refresh("ok", 3)
	s.wantPut(200)
	if n := b.requests.Load(); n != 2 {
		t.Errorf("requests to the preferred member while its lookup fails: got %d, want 2", n)
	}
	s.wantLogged("a record of the endpoints cannot be used", 1)
	publish(dns, "etcd-client", b, a)
	s.refresh("ok", 4)
	s.Eventually("the end of the problem is logged", func() bool {
		return strings.Contains(s.Log.String(), "all records of the endpoints can be used again")
	})
}

func TestEqualRecordsKeepTheConnections(t *testing.T) {
	dns, a, b := dnstest.New(t), newStandIn(t, "a"), newStandIn(t, "b")
	a.Start()
	b.Start()
	records := []string{dnstest.SRV("etcd-client", "example.org", 1, 0, a.name, a.port()), dnstest.SRV("etcd-client", "example.org", 1, 0, b.name, b.port())}
	dns.Set(append(records, "a.example.org. IN A 127.0.0.1", "b.example.org. IN A 127.0.0.1")...)
	s := startService(t, srvConfig(dns, "1h"))
	s.wantPut(200)
	for i := range 8 { // a new seed at each lookup would change the order in one of two
		dns.Set(records[i%2], records[1-i%2], "A.example.org. IN A 127.0.0.1", "b.example.org. IN A 127.0.0.1")
		s.refresh("ok", i+1)
		s.wantPut(200)
	}
	// One to the member that is used, and one that probes the other.
	s.WaitForMetric(`etcd_tlsproxy_upstream_events_total{event="dial"} 2`)
	s.wantLogged("endpoints have changed", 0)
}

func TestTheServiceLogNamesTheEndpointsInBothForms(t *testing.T) {
	t.Parallel()
	dns, a, b := dnstest.New(t), newStandIn(t, "a"), newStandIn(t, "a")
	publish(dns, "etcd-client", a)
	s := startService(t, srvConfig(dns, "1h"))
	s.wantLogged(fmt.Sprintf(`endpoints="[\"http://a.example.org:%s\"]"`, a.port()), 1)
	s.Write("etcd-tlsproxy.toml", s.Read("etcd-tlsproxy.toml")+"[log]\nservice = \"json\"\n")
	publish(dns, "etcd-client", b)
	s.refresh("ok", 1)
	s.wantLogged(fmt.Sprintf(`"endpoints":["http://a.example.org:%s"]`, b.port()), 1)
}

func TestAReloadThatFindsOtherEndpointsNamesBoth(t *testing.T) {
	dns, a, b := dnstest.New(t), newStandIn(t, "a"), newStandIn(t, "b")
	a.Start()
	publish(dns, "etcd-client", b)
	s := startService(t, strings.Replace(daemontest.SeedConfig, "%s", a.URL, 1))
	s.Write("etcd-tlsproxy.toml", srvConfig(dns, "1h"))
	s.wantReload(200)
	s.wantLogged(fmt.Sprintf("endpoints: http://b.example.org:%s instead of %s", b.port(), a.URL), 2) // in the service log and in the audit log
}

func TestNoAnswerOfDNSTurnsTLSOff(t *testing.T) {
	dns, secure, plain := dnstest.New(t), newStandIn(t, "a"), newStandIn(t, "b")
	secure.Start()
	plain.Start()
	publish(dns, "etcd-client-ssl", secure)
	s := startService(t, srvConfig(dns, "1h"))
	publish(dns, "etcd-client", plain)
	s.refresh("failed", 1)
	s.wantLogged("the records of members with TLS are gone", 1)
	s.wantPut(503) // the stand-in does not speak TLS
	if n := plain.requests.Load() + secure.requests.Load(); n != 0 {
		t.Errorf("%d requests were sent in plaintext, want 0", n)
	}
	// A change from plaintext to TLS is accepted.
	publish(dns, "etcd-client-ssl", plain)
	s.refresh("ok", 1)
	s.wantLogged("endpoints have changed", 1)
}

func TestDiscoveredMembersAreVerified(t *testing.T) {
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	dns, a := dnstest.New(t), newStandIn(t, "a")
	cert, key, err := pki.Server(a.name)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	a.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	a.StartTLS()
	publish(dns, "etcd-client-ssl", a)
	s := startService(t, srvConfig(dns, "1h"))
	s.wantPut(503) // its CA is not one of the system's
	s.Write("etcd.crt", string(pki.CA()))
	s.Write("etcd-tlsproxy.toml", strings.Replace(s.Read("etcd-tlsproxy.toml"), "srv =", "ca = \"etcd.crt\"\nsrv =", 1))
	s.refresh("ok", 1)
	s.wantPut(200)
}

func TestAReloadNeedsDNSOnlyForAnotherDomain(t *testing.T) {
	dns, a := dnstest.New(t), newStandIn(t, "a")
	a.Start()
	publish(dns, "etcd-client", a)
	s := startService(t, srvConfig(dns, "1h"))
	dns.Set()
	s.WriteUsers(map[string]string{"root": "root-1", "conftool": "conftool-2"})
	s.refresh("failed", 1)
	if status := s.Put("conftool", "conftool-2"); status != 200 {
		t.Errorf("a write with the new password: got status %d, want 200", status)
	}
	good := s.Read("etcd-tlsproxy.toml")
	s.Write("etcd-tlsproxy.toml", strings.Replace(good, "example.org", "example.net", 1))
	if status, body := s.Admin("POST", "/-/reload"); status != 500 || !strings.Contains(body, "etcd-tlsproxy.toml:4: upstream.srv: no endpoints of etcd were found: asked for _etcd-client-ssl._tcp.example.net: ") {
		t.Errorf("reload with a domain that does not exist: got status %d with %q, want 500 with the records that were looked up", status, body)
	}
	dns.Set(dnstest.SRV("etcd-client", "example.net", 0, 0, a.name, a.port()), a.name+". IN A 127.0.0.1")
	s.refresh("ok", 1)
	if status := s.Put("conftool", "conftool-2"); status != 200 {
		t.Errorf("a write with the endpoints of another domain: got status %d, want 200", status)
	}
	s.Write("etcd-tlsproxy.toml", fmt.Sprintf(daemontest.SeedConfig, a.URL))
	if status, body := s.Admin("POST", "/-/reload"); status != 200 {
		t.Errorf("reload from DNS to a configured endpoint: got status %d with %q, want 200", status, body)
	}
	if status := s.Put("conftool", "conftool-2"); status != 200 {
		t.Errorf("a write at a configured endpoint: got status %d, want 200", status)
	}
}
