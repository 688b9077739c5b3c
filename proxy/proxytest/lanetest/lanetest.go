// Package lanetest makes what a lane needs around itself, for the tests of a lane's inside.
// Tests of a whole front end use package fronttest.
package lanetest

import (
	"log/slog"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest/seed"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// NewExchange returns an exchange with the etcd at endpoint and the policy of package seed.
// Its snapshot is in force. Watches are shared; reads are not.
func NewExchange(t testing.TB, endpoint string, limits lane.Limits) *lane.Exchange {
	t.Helper()
	at, err := upstream.ParseEndpoint(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	metrics := observe.NewMetrics("test")
	pool, err := upstream.New(upstream.Options{Endpoints: []upstream.Endpoint{at}, Counters: metrics.Upstream})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	watches := share.NewWatches(share.WatchOptions{Pool: pool, Counters: metrics.Watches})
	t.Cleanup(watches.Close)
	x := &lane.Exchange{
		Gate: &gate.Gate{
			Throttle: acl.NewThrottle(acl.ThrottleOptions{}),
			Admits:   func(*gate.Peer, acl.Access) bool { return true },
			Login:    metrics.CountLogin,
		},
		Observer: observe.New(metrics, observe.NewRecords(observe.RecordOptions{})),
		Current:  &lane.Current{},
		Accounts: account.NewTable(),
		Watches:  lane.NewWatches(100, 100, metrics),
		Log:      slog.New(slog.DiscardHandler),
		Outage:   lane.NewOutage(slog.New(slog.DiscardHandler)),
		Held:     lane.NewHeld(slog.New(slog.DiscardHandler)),
	}
	x.Current.Publish(&lane.Snapshot{Policy: *seed.Policy(t), FastLane: true, Limits: limits, Upstream: pool, Watches: watches})
	return x
}
