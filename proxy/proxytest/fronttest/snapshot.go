package fronttest

import (
	"testing"
	"time"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/seed"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// linger is short because tests wait until no watch is left at etcd.
const linger = 50 * time.Millisecond

// Snapshot returns a snapshot for the etcd at endpoint, with the policy of package seed.
func (f *Front) Snapshot(endpoint string, change Change) *lane.Snapshot {
	f.t.Helper()
	policy := seed.Policy(f.t)
	policy.Certs = Generation(f.t, f.PKI, certs.Options{})
	origin := f.origin(endpoint)
	o := upstream.Options{Counters: f.Metrics.Upstream}
	if origin != nil {
		o.Probe = probe
	}
	pool := Pool(f.t, o, endpoint)
	s := &lane.Snapshot{
		Policy:   *policy,
		FastLane: f.lane == Fast,
		Limits:   lane.Limits{Head: 32 << 10, Body: 1 << 20, HeaderTimeout: 5 * time.Second, BodyTimeout: 10 * time.Second},
		Origin:   origin,
		Upstream: pool,
		Reads:    share.NewReads(pool, &f.Metrics.SharedReads),
		Watches:  share.NewWatches(share.WatchOptions{Pool: pool, Counters: f.Metrics.Watches, Linger: linger}),
	}
	if change != nil {
		change(s, f.PKI)
	}
	return s
}

// Generation completes o with a new server certificate for localhost and with the
// protocols of the proxy.
func Generation(t testing.TB, pki *proxytest.PKI, o certs.Options) *certs.Generation {
	t.Helper()
	cert, key, err := pki.Server("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	o.Certificate, o.Key = certs.PEM{File: "cert", Data: cert}, certs.PEM{File: "key", Data: key}
	o.NextProtos = proxy.NextProtos(true)
	g, err := certs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Pool completes o with the endpoints and makes a pool of it. Unless o says otherwise, the
// pool waits longer for a connection than in production: etcd is slow to accept one while
// thousands of handshakes occupy the machine.
func Pool(t testing.TB, o upstream.Options, endpoints ...string) *upstream.Pool {
	t.Helper()
	if o.DialTimeout == 0 {
		o.DialTimeout = Patience
	}
	for _, text := range endpoints {
		at, err := upstream.ParseEndpoint(text)
		if err != nil {
			t.Fatal(err)
		}
		o.Endpoints = append(o.Endpoints, at)
	}
	o.RawSockets = true
	pool, err := upstream.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return pool
}
