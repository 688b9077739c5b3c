package daemon_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/preflight"
	"etcd-tlsproxy/proxy/observe"
)

// statusBehind returns the status of a read on a new connection that begins with a header, or 0
// if the connection was closed.
func (s *service) statusBehind(header string) int {
	transport := s.Transport()
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			_, err = io.WriteString(c, header)
		}
		return c, err
	}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(s.URL + "/v2/keys/a")
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestAReloadAppliesTheLoadBalancersToNewConnections(t *testing.T) {
	t.Parallel()
	s := newService(t, daemontest.Echo)
	const header = "PROXY TCP4 192.0.2.7 192.0.2.80 1234 4001\r\n"
	if plain, headed := s.statusBehind(""), s.statusBehind(header); plain != 200 || headed != 0 {
		t.Errorf("without load balancers: got status %d without a header and %d with one, want 200 and none", plain, headed)
	}
	before := s.Read("etcd-tlsproxy.toml")
	s.Write("etcd-tlsproxy.toml", strings.Replace(before, "[upstream]", "[proxy_protocol]\nfrom = [\"127.0.0.0/8\"]\n[upstream]", 1))
	s.Eventually("a client is named", func() bool { return s.statusBehind(header) == 200 })
	if got := s.statusBehind(""); got != 0 {
		t.Errorf("behind a load balancer, without a header: got status %d, want none", got)
	}
	if status, _ := s.Admin("GET", "/-/ready"); status != 200 {
		t.Errorf("the admin address, which has no load balancer: got status %d, want 200", status)
	}
	s.WaitForMetric(`etcd_tlsproxy_connections_refused_total{reason="proxy_header"} `)
	s.Write("etcd-tlsproxy.toml", before)
	s.Eventually("there are no load balancers any more", func() bool { return s.statusBehind("") == 200 })
}

func TestTheSharesOfConnectionsAreThoseOfTheRunningProxy(t *testing.T) {
	etcd := newStandIn(t, "etcd")
	etcd.Start()
	s := startService(t, strings.Replace(fmt.Sprintf(daemontest.SeedConfig, etcd.URL), "[limits]", "[limits]\nconnections = 1000", 1))
	c := config.Default()
	c.Limits.Connections = 1000
	c.ProxyProtocol.From = []string{"192.0.2.1"}
	pools := map[string]observe.PoolStatus{}
	for _, pool := range s.status().Pools {
		pools[pool.Pool] = pool
	}
	shares := preflight.Shares(c, preflight.OpenFiles())
	for i, name := range []string{"connections", "headers"} {
		if share, pool := shares[i], pools[name]; share.Total != pool.Total || share.Most != pool.Total-pool.Reserve {
			t.Errorf("%s: check-config says %s, and the proxy has %+v", name, &share, pool)
		}
	}
}
