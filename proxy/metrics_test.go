package proxy_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// gather returns the values of all series by their names and labels, which are sorted. That
// of a histogram is the number of its observations.
func gather(t *testing.T, f *fronttest.Front) map[string]float64 {
	t.Helper()
	families, err := f.Metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			name := strings.TrimPrefix(family.GetName(), "etcd_tlsproxy_") + " " + strings.Join(labels, " ")
			values[strings.TrimSpace(name)] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func TestTheMetricsEqualTheStatus(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		client := f.Client("h1")
		for _, user := range []string{"root", "conftool", "alice", ""} {
			fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/conftool/a", user, "value=1")
			fronttest.Do(t, client, "GET", f.URL()+"/v2/keys/conftool/a", user, "")
		}
		values, status := gather(t, f), f.Server.Status()
		expect := func(series string, want float64) {
			t.Helper()
			if got, ok := values[series]; !ok || got != want {
				t.Errorf("%s: got %v (there: %t), want %v like the status", series, got, ok, want)
			}
		}
		for _, r := range status.Rules {
			expect("rule_decisions_total access=read outcome=allowed rule="+r.Prefix, float64(r.ReadsAllowed))
			expect("rule_decisions_total access=write outcome=allowed rule="+r.Prefix, float64(r.WritesAllowed))
			expect("rule_decisions_total access=write outcome=refused rule="+r.Prefix, float64(r.WritesRefused))
		}
		if len(status.Rules) != 3 || status.Rules[1].WritesAllowed != 2 || status.Rules[1].WritesRefused != 2 {
			t.Errorf("the status: got the rules %+v, want 2 writes allowed and 2 refused by the second", status.Rules)
		}
		for _, u := range status.Users {
			expect("user_decisions_total access=write known="+u.Known+" outcome=allowed user="+u.User, float64(u.WritesAllowed))
			expect("user_decisions_total access=write known="+u.Known+" outcome=refused user="+u.User, float64(u.WritesRefused))
		}
		endpoint := status.Upstream.Endpoints[0]
		expect("upstream_endpoint_up endpoint="+endpoint.Endpoint, 1)
		expect("upstream_endpoint_leader endpoint="+endpoint.Endpoint, 1)
		expect("upstream_endpoint_probe_seconds endpoint="+endpoint.Endpoint, float64(endpoint.Took)/1000)
		expect("limit_used limit=connections", float64(status.Connections.Open))
		expect("limit_used limit=watches", 0)
	})
}

func TestARequestToEtcdHasADurationAndARefusedOneHasNone(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		client := f.Client("h1")
		expect := func(after string, reads, writes float64) {
			t.Helper()
			values := gather(t, f)
			if got, ok := values["upstream_duration_seconds access=read"]; !ok || got != reads {
				t.Errorf("after %s: got %v durations of reads at etcd (there: %t), want %v", after, got, ok, reads)
			}
			if got, ok := values["upstream_duration_seconds access=write"]; !ok || got != writes {
				t.Errorf("after %s: got %v durations of writes at etcd (there: %t), want %v", after, got, ok, writes)
			}
		}
		expect("the start", 0, 0)
		fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/conftool/a", "root", "value=1")
		expect("a write", 0, 1)
		fronttest.Do(t, client, "GET", f.URL()+"/v2/keys/conftool/a?quorum=true", "", "") // a store answers others itself
		expect("a read", 1, 1)
		fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/conftool/a", "nobody", "value=1")
		expect("a refused write", 1, 1)
	})
}

func TestTheMetricsSaySinceWhen(t *testing.T) {
	t.Parallel()
	begun := float64(time.Now().UnixMilli()) / 1000
	f, e := fronttest.Fast.Embedded(t, nil)
	endpoint := "upstream_endpoint_failing_since_timestamp_seconds endpoint=" + e.URL()
	expect := func(when, series string, from float64) {
		t.Helper()
		if got, ok := gather(t, f)[series]; !ok || (from == 0) != (got == 0) || got < from {
			t.Errorf("%s: %s: got %v (there: %t), want a time after %v", when, series, got, ok, from)
		}
	}
	now := func() float64 { return float64(time.Now().UnixMilli()) / 1000 }
	for _, series := range []string{endpoint, "upstream_failing_since_timestamp_seconds", "emptying_since_timestamp_seconds"} {
		expect("while all is well", series, 0)
	}
	start := now()
	f.Server.Empty(true)
	since := f.Server.Status().EmptyingSince
	f.Server.Empty(true)
	if again := f.Server.Status().EmptyingSince; again != since {
		t.Errorf("after a second POST /-/drain?on: got emptying since %v, want %v as before", again, since)
	}
	expect("while clients are made to leave", "emptying_since_timestamp_seconds", start)
	f.Server.Empty(false)
	expect("afterwards", "emptying_since_timestamp_seconds", 0)
	e.Cut()
	defer e.Mend()
	f.Exchange("GET /v2/keys/a?quorum=true HTTP/1.1\r\nHost: h\r\n\r\n") // a store answers others itself
	expect("after a request failed", "upstream_failing_since_timestamp_seconds", begun)
	fronttest.Eventually(t, "a scrape finds the endpoint down", func() bool { return gather(t, f)[endpoint] >= start })
	if e := f.Server.Status().Upstream.Endpoints[0]; e.Since.IsZero() {
		t.Errorf("the status of the endpoint: got %+v, want since when it is down", e)
	}
}

func TestAnEtcdThatIsAwayHasSeriesToo(t *testing.T) {
	t.Parallel()
	ln := fronttest.Listen(t)
	endpoint := "http://" + ln.Addr().String()
	ln.Close()
	f := fronttest.Fast.Front(t, endpoint, nil)
	values := gather(t, f)
	for series, want := range map[string]float64{"upstream_endpoint_up endpoint=" + endpoint: 0, "upstream_endpoint_leader endpoint=" + endpoint: 0} {
		if got, ok := values[series]; !ok || got != want {
			t.Errorf("%s: got %v (there: %t), want %v", series, got, ok, want)
		}
	}
	if got, ok := values["upstream_endpoint_probe_seconds endpoint="+endpoint]; ok {
		t.Errorf("the duration of a probe without an answer: got %v, want none", got)
	}
}

func TestSeriesOfRulesAreBounded(t *testing.T) {
	t.Parallel()
	const more = 300
	f := fronttest.Fast.Front(t, fronttest.StandIn(t, nil), func(s *lane.Snapshot, _ *proxytest.PKI) {
		var rules []acl.Rule
		for i := range more {
			rules = append(rules, acl.Rule{Prefix: acl.Key(fmt.Sprintf("/rule/%03d", i)), Read: acl.Everyone(), Write: acl.Everyone()})
		}
		s.Rules = seed.Rules(t, rules...)
	})
	for i := range more {
		f.Exchange(fmt.Sprintf("OPTIONS /v2/keys/rule/%03d HTTP/1.1\r\nHost: h\r\n\r\n", i))
	}
	own, other, sum := 0, 0.0, 0.0
	for series, n := range gather(t, f) {
		if !strings.HasPrefix(series, "rule_decisions_total access=read outcome=allowed ") {
			continue
		}
		sum += n
		if strings.HasSuffix(series, " rule=other") {
			other = n
		} else {
			own++
		}
	}
	if own != 200 || sum != more || other != more+3-200 {
		t.Errorf("the series of %d rules: got %d of their own, %v decisions, and %v of them as other; want 200, %d and %d", more+3, own, sum, other, more, more+3-200)
	}
}

func TestAHandshakeThatFailsHasAReason(t *testing.T) {
	t.Parallel()
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	f := fronttest.Fast.FrontWith(t, fronttest.StandIn(t, nil), func(o *proxy.Options) { o.HandshakeTimeout = 3 * time.Second }, func(s *lane.Snapshot, server *proxytest.PKI) {
		s.Certs = fronttest.Generation(t, server, certs.Options{ClientCA: certs.PEM{File: "ca", Data: server.CA()}, Require: true})
	})
	dial := func(change func(*tls.Config)) {
		config := f.TLS()
		change(config)
		c, err := tls.Dial("tcp", f.Addr, config)
		if err == nil {
			_, _ = c.Read(make([]byte, 1)) // the alert
			c.Close()
		}
	}
	send := func(text string, wait bool) {
		c, err := net.Dial("tcp", f.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write([]byte(text))
		if wait {
			_, _ = c.Read(make([]byte, 1))
		}
	}
	alien, key, err := pki.Client("conftool")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(alien, key)
	if err != nil {
		t.Fatal(err)
	}
	for reason, fail := range map[string]func(){
		"no_certificate": func() { dial(func(*tls.Config) {}) },
		"untrusted_certificate": func() {
			dial(func(c *tls.Config) {
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			})
		},
		"version": func() {
			dial(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
		},
		"cipher": func() {
			dial(func(c *tls.Config) {
				c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
			})
		},
		"rejected_by_client": func() { dial(func(c *tls.Config) { c.RootCAs = pki.Pool() }) },
		"plain_http":         func() { send("GET / HTTP/1.1\r\nHost: h\r\n\r\n", true) },
		"no_tls":             func() { send("SSH-2.0-OpenSSH_9.2\r\n", true) },
		"client_gone":        func() { send("", false) },
		"timeout":            func() { send("", true) },
	} {
		series := "handshake_failures_total reason=" + reason
		before, there := gather(t, f)[series]
		if !there {
			t.Errorf("%s before the first failure: got no series, want one", series)
		}
		fail()
		fronttest.Eventually(t, "the failure "+reason+" is counted", func() bool { return gather(t, f)[series] == before+1 })
	}
	if got := gather(t, f)["handshake_failures_total reason=other"]; got != 0 {
		t.Errorf("failures for another reason: got %v, want none", got)
	}
}
