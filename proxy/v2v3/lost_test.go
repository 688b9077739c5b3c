package v2v3

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

const txnMethod = "/etcdserverpb.KV/Txn"

// startRelayed starts a store before an etcd, whose first endpoint is a relay.
func startRelayed(t *testing.T) (*fixture, *proxytest.Relay) {
	t.Helper()
	etcd, o := startEtcd(t)
	if err := Init(testContext(t), o, 100); err != nil {
		t.Fatal(err)
	}
	direct := o
	relay := newRelay(t, o.Endpoints[0].Addr)
	o.Endpoints = []Endpoint{{Addr: relay.Addr()}, o.Endpoints[0]}
	return &fixture{T: t, Store: open(t, o), etcd: etcd, options: direct}, relay
}

func newRelay(t *testing.T, to string) *proxytest.Relay {
	t.Helper()
	relay, err := proxytest.NewRelay(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	return relay
}

// writes reports whether a message is a transaction that changes a file.
func writes(method, key string, message []byte) bool {
	return method == txnMethod && bytes.Contains(message, []byte(".v2/f"+key))
}

// TestAWriteThatAMemberLosesIsSentAgain has a member that takes a transaction and then answers everything
// but that, as one does that has passed it on to a leader which died.
func TestAWriteThatAMemberLosesIsSentAgain(t *testing.T) {
	t.Parallel()
	f, relay := startRelayed(t)
	before := f.events()
	var lost atomic.Bool
	relay.Set(func(ctx context.Context, method string, direction int, message []byte) error {
		if direction == proxytest.ToEtcd && writes(method, "/lost", message) && lost.CompareAndSwap(false, true) {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	if got := f.do("POST /lost?value=1"); !strings.HasPrefix(got, "201 ") || !lost.Load() {
		t.Errorf("got %s, want the answer of etcd", got)
	}
	if at, _ := f.endpoint(); at != 0 {
		t.Error("the store has left the member, want that it stays")
	}
	if got := f.events(); got != before+1 {
		t.Errorf("the store has had %d events since, want 1", got-before)
	}
}
