package preflight

import (
	"math"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/config"
)

func TestTheSharesAreWhatOneClientCanHold(t *testing.T) {
	c := config.Default()
	l := &c.Limits
	l.HashWorkers = 4
	check := func(what string, want ...string) {
		t.Helper()
		var got []string
		for _, s := range Shares(c, math.MaxInt64) {
			got = append(got, s.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("the shares with %s:\n got %q\nwant %q", what, got, want)
		}
	}
	check("the defaults", "connections: 17,500 of 20,000", "watches: 17,500 of 20,000", "reads at etcd: 770 of 880", "quorum reads at etcd: 674 of 770", "streams of HTTP/2: 224 MiB of 256 MiB", "bodies: 128 MiB of 128 MiB", "hashes of passwords: 4 of 4")
	l.Connections, l.AddressConnections, l.Watches, l.UserWatches, l.UpstreamRequests = 5, 3, 100, 200, 1
	check("small limits", "connections: 3 of 5", "watches: 88 of 100", "reads at etcd: 1 of 1", "quorum reads at etcd: 1 of 1", "streams of HTTP/2: 224 MiB of 256 MiB", "bodies: 128 MiB of 128 MiB", "hashes of passwords: 4 of 4")
	c.ProxyProtocol.From = []string{"192.0.2.1"}
	l.Connections = 20000
	check("load balancers", "connections: 3 of 20,000", "connections whose header of the PROXY protocol is awaited: 4,375 of 5,000", "watches: 88 of 100", "reads at etcd: 1 of 1", "quorum reads at etcd: 1 of 1", "streams of HTTP/2: 224 MiB of 256 MiB", "bodies: 128 MiB of 128 MiB", "hashes of passwords: 4 of 4")
}

func TestTheConnectionsOfLoadBalancersNeedOpenFilesToo(t *testing.T) {
	s := &State{Config: config.Default(), Document: new(config.Document)}
	check := func(files int64, want string, fit int) {
		t.Helper()
		if got := AdviseFiles(s.Config, s.Document, files); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("with %d files: got %q, want %q", files, got, want)
		}
		if got := Connections(s.Config, files); got != fit {
			t.Errorf("with %d files: got %d connections, want %d", files, got, fit)
		}
	}
	check(20711, "", 20000)
	check(20710, "", 19999)
	check(19420, "", 18750)
	check(19419, "20000 connections need more open files than this process may have, 19419: with those for etcd, logs and clients that wait, 18749 connections fit (hint: ", 18749)
	check(1024, "20000 connections need", 928)
	check(10, "20000 connections need", 1)
	check(math.MaxInt64, "", 20000)
	s.Config.ProxyProtocol.From = []string{"192.0.2.1"}
	check(25872, "", 20000)
	check(24000, "20000 connections, and 5000 of load balancers whose header is awaited, need more open files than this process may have, 24000: ", 18548)
}

func TestALimitOfOneClientAboveTheTotalIsNamed(t *testing.T) {
	s := &State{Config: config.Default(), Document: new(config.Document)}
	if got := s.CheckShares(); len(got) != 0 {
		t.Errorf("with the defaults: got the warnings %q, want none", got)
	}
	s.Config.Limits.Connections, s.Config.Limits.AddressConnections = 100, 200
	if got := s.CheckShares(); len(got) != 1 || !strings.Contains(got[0], "limits.address_connections: one client may have 200, but there are 100 connections for all") {
		t.Errorf("with 200 of 100 connections for one client: got the warnings %q, want one that says so", got)
	}
}
