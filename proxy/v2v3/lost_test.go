package v2v3

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
	if got := f.Status(); got.LostNotExecuted != 1 || got.LostExecuted != 0 || got.LostUnknown != 0 || got.Fences == 0 {
		t.Errorf("got the status %+v, want one write that was not executed, and a fence", got)
	}
}

// TestAWriteWhoseResponseTheMemberLosesIsAnswered has a member that executes a transaction and loses its response.
func TestAWriteWhoseResponseTheMemberLosesIsAnswered(t *testing.T) {
	t.Parallel()
	f, relay := startRelayed(t)
	var sent, lost atomic.Bool
	relay.Set(func(ctx context.Context, method string, direction int, message []byte) error {
		if direction == proxytest.ToEtcd && writes(method, "/lost", message) {
			sent.Store(true)
		}
		if direction == proxytest.FromEtcd && method == txnMethod && sent.Load() && lost.CompareAndSwap(false, true) {
			return status.Error(codes.Unavailable, "the response is lost")
		}
		return nil
	})
	if got := f.do("PUT /lost?value=1&prevExist=false"); !strings.HasPrefix(got, "201 ") || !lost.Load() {
		t.Errorf("got %s, want the answer of etcd", got)
	}
	if got := f.Status(); got.LostExecuted != 1 || got.LostNotExecuted != 0 || got.LostUnknown != 0 {
		t.Errorf("got the status %+v, want one write that was executed", got)
	}
}
