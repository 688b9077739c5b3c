package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/dnstest"
)

// standIn is a member that counts what it is asked.
type standIn struct {
	*httptest.Server
	name  string
	asked atomic.Int64
}

func newStandIn(t testing.TB, name string) *standIn {
	m := &standIn{name: name + ".example.org"}
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		echo(w, r)
	}))
	t.Cleanup(func() { m.Close() })
	return m
}

// port is where the member listens.
func (m *standIn) port() string {
	_, port, _ := strings.Cut(m.Listener.Addr().String(), ":")
	return port
}

// publish makes these the only members, the preferred first.
func publish(dns *dnstest.Server, service string, members ...*standIn) {
	var records []string
	for i, m := range members {
		records = append(records, dnstest.SRV(service, "example.org", i, 0, m.name, m.port()), m.name+". IN A 127.0.0.1")
	}
	dns.Set(records...)
}

// srvConfig is the seed with its endpoints in DNS.
func srvConfig(dns *dnstest.Server, refresh string) string {
	return strings.Replace(seedConfig, `endpoints = ["%s"]`, fmt.Sprintf("srv = \"example.org\"\nresolver = %q\nsrv_refresh = %q", dns.Addr(), refresh), 1)
}

// refresh asks for one, and waits until one has ended as it should.
func (s *service) refresh(result string, n int) {
	s.t.Helper()
	if status, body := s.ask("POST", "/-/reload"); status != 200 {
		s.t.Fatalf("reloading: %d %s", status, body)
	}
	s.awaitMetric(fmt.Sprintf("etcd_tlsproxy_srv_refreshes_total{result=%q} %d\n", result, n))
}

func (s *service) wantPut(status int) {
	s.t.Helper()
	if got := s.put("conftool", "conftool-1"); got != status {
		s.t.Errorf("a write: %d, want %d\n%s", got, status, s.log)
	}
}

func (s *service) wantLogged(text string, n int) {
	s.t.Helper()
	if got := strings.Count(s.log.String(), text); got != n {
		s.t.Errorf("the log says %q %d times, want %d:\n%s", text, got, n, s.log)
	}
}

func TestMembersComeAndGoWithoutAFailedRequest(t *testing.T) {
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
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.pki.Pool()}}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				req, err := http.NewRequest(method, s.url+"/v2/keys/eventlogging/a", nil)
				if err != nil {
					return err
				}
				resp, err := client.Do(req)
				if err != nil {
					return err
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 {
					return fmt.Errorf("%s: %d %s, %v", method, resp.StatusCode, body, err)
				}
				done[i].Add(1)
			}
		})
	}
	// Each client's second answer from now on is to a request that began after now.
	pass := func() {
		t.Helper()
		for i := range done {
			before := done[i].Load()
			s.eventually("a client goes on", func() bool { return done[i].Load() >= before+2 })
		}
	}
	pass()
	publish(dns, "etcd-client", b, a)
	s.eventually("the new member is asked", func() bool { return b.asked.Load() > 0 })
	publish(dns, "etcd-client", b)
	s.eventually("the old member is gone", func() bool { return strings.Count(s.log.String(), "endpoints have changed") == 2 })
	pass()
	a.Close()
	pass()
	c := newStandIn(t, "c")
	c.Start()
	publish(dns, "etcd-client", c)
	s.eventually("all are others", func() bool { return c.asked.Load() > 0 })
	pass()
	close(stop)
	if err := failed.Wait(); err != nil {
		t.Errorf("a request failed: %v", err)
	}
}

func TestARunningRequestFinishesOnAMemberThatHasGone(t *testing.T) {
	dns, a, b := dnstest.New(t), newStandIn(t, "a"), newStandIn(t, "b")
	asked, answer := make(chan struct{}), make(chan struct{})
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-answer
		echo(w, r)
	})
	a.Start()
	b.Start()
	publish(dns, "etcd-client", a)
	s := startService(t, srvConfig(dns, "1h"))
	status := make(chan int)
	go func() { status <- s.put("conftool", "conftool-1") }()
	<-asked
	publish(dns, "etcd-client", b)
	s.refresh("ok", 1)
	s.wantPut(200) // or it would wait for an answer
	close(answer)
	if got := <-status; got != 200 {
		t.Errorf("the running request: %d", got)
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
	dns.Set() // nothing is there
	s.refresh("failed", 2)
	s.wantPut(200)
	s.wantLogged("endpoints were not found again", 1)
	s.wantLogged("server misbehaving", 1)
	publish(dns, "etcd-client", a)
	s.refresh("ok", 1)
	s.refresh("ok", 2)
	s.wantLogged("endpoints are found again", 1)
	dns.Set()
	s.refresh("failed", 3)
	s.wantLogged("endpoints were not found again", 2)
	s.awaitMetric(`etcd_tlsproxy_upstream_events_total{event="dial"} 1`)
}

func TestEqualRecordsKeepTheConnections(t *testing.T) {
	dns, a, b := dnstest.New(t), newStandIn(t, "a"), newStandIn(t, "b")
	a.Start()
	b.Start()
	records := []string{dnstest.SRV("etcd-client", "example.org", 1, 0, a.name, a.port()), dnstest.SRV("etcd-client", "example.org", 1, 0, b.name, b.port())}
	dns.Set(append(records, "a.example.org. IN A 127.0.0.1", "b.example.org. IN A 127.0.0.1")...)
	s := startService(t, srvConfig(dns, "1h"))
	s.wantPut(200)
	for i := range 8 { // a new draw each time would be another order in one of two
		dns.Set(records[i%2], records[1-i%2], "A.example.org. IN A 127.0.0.1", "b.example.org. IN A 127.0.0.1")
		s.refresh("ok", i+1)
		s.wantPut(200)
	}
	s.awaitMetric(`etcd_tlsproxy_upstream_events_total{event="dial"} 1`)
	s.wantLogged("endpoints have changed", 0)
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
	s.wantPut(503) // the stand-in speaks no TLS
	if n := plain.asked.Load() + secure.asked.Load(); n != 0 {
		t.Errorf("%d requests went out in plaintext", n)
	}
	// The other way round is fine.
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
	s.wantPut(503) // its CA is not among the system's
	s.write("etcd.crt", string(pki.CA()))
	s.write("etcd-tlsproxy.toml", strings.Replace(s.read("etcd-tlsproxy.toml"), "srv =", "ca = \"etcd.crt\"\nsrv =", 1))
	s.refresh("ok", 1)
	s.wantPut(200)
}

func TestAReloadNeedsDNSOnlyForAnotherDomain(t *testing.T) {
	dns, a := dnstest.New(t), newStandIn(t, "a")
	a.Start()
	publish(dns, "etcd-client", a)
	s := startService(t, srvConfig(dns, "1h"))
	dns.Set()
	s.writeUsers(map[string]string{"root": "root-1", "conftool": "conftool-2"})
	s.refresh("failed", 1)
	if status := s.put("conftool", "conftool-2"); status != 200 {
		t.Errorf("the new password: %d", status)
	}
	good := s.read("etcd-tlsproxy.toml")
	s.write("etcd-tlsproxy.toml", strings.Replace(good, "example.org", "example.net", 1))
	if status, body := s.ask("POST", "/-/reload"); status != 500 || !strings.Contains(body, "etcd-tlsproxy.toml:4: upstream.srv: no endpoints of etcd: asked for _etcd-client-ssl._tcp.example.net: ") {
		t.Errorf("another domain, which is not there: %d %s", status, body)
	}
	dns.Set(dnstest.SRV("etcd-client", "example.net", 0, 0, a.name, a.port()), a.name+". IN A 127.0.0.1")
	s.refresh("ok", 1)
	if status := s.put("conftool", "conftool-2"); status != 200 {
		t.Errorf("at another domain: %d", status)
	}
	s.write("etcd-tlsproxy.toml", fmt.Sprintf(seedConfig, a.URL))
	if status, body := s.ask("POST", "/-/reload"); status != 200 {
		t.Errorf("from DNS to a named endpoint: %d %s", status, body)
	}
	if status := s.put("conftool", "conftool-2"); status != 200 {
		t.Errorf("at a named endpoint: %d", status)
	}
}
