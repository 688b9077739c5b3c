package fast

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// TestAConnectionIsUsedAgainAfterAWatchThatWasRevokedAsItStarted takes a reader's right away
// between the decision about a watch and its registration, many times: the reload then ends
// the watch too, or comes too late for that.
func TestAConnectionIsUsedAgainAfterAWatchThatWasRevokedAsItStarted(t *testing.T) {
	t.Parallel()
	r := newRig(t, patientLimits)
	before := r.Exchange.Current.Load()
	after := *before
	after.Rules = seed.Rules(t, acl.Rule{Prefix: watchedKey, Read: acl.Only("root"), Write: acl.Only("root")})
	r.Exchange.Gate.Admits = func(*gate.Peer, acl.Access) bool {
		r.Exchange.Current.Publish(&after) // the request keeps the snapshot before
		return true
	}
	var stopped atomic.Bool
	var rechecks sync.WaitGroup
	rechecks.Go(func() {
		for !stopped.Load() {
			r.Exchange.Watches.Recheck(r.Exchange.Gate, func() *gate.Policy { return &after.Policy })
		}
	})
	defer rechecks.Wait()
	defer stopped.Store(true)
	client, _, _ := r.connect()
	for i := range 3000 {
		r.Exchange.Current.Publish(before)
		if err := client.Send("GET /v2/keys" + watchedKey + "?wait=true HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatalf("watch %d: %v", i, err)
		}
		if a, err := client.Answer("GET"); err != nil || a.Status != 401 {
			t.Fatalf("watch %d: got %+v and error %v, want status 401", i, a, err)
		}
	}
}

func TestAWatchWhoseStartPanicsIsReleased(t *testing.T) {
	r := newRig(t, patientLimits)
	client, server := net.Pipe()
	defer client.Close()
	c := newConn(r.Lane, tls.Server(lane.NewClientConn(server, false, func() {}), nil), seed.Peer())
	s := *r.Exchange.Current.Load()
	req := gate.Request{Method: "GET", Target: "/v2/keys" + watchedKey + "?wait=true", Peer: c.peer}
	if refusal := r.Exchange.Decide(context.Background(), &s, &req, &c.rec); refusal != nil {
		t.Fatalf("the watch was refused: %+v", refusal)
	}
	s.Watches = nil // joining panics
	defer func() {
		if recover() == nil {
			t.Error("starting a watch without shared watches did not panic")
		}
		if n := r.Exchange.Watches.Count(); n != 0 {
			t.Errorf("%d watches are registered, want none", n)
		}
	}()
	_, _ = c.startWatch(&s, true)
}

func TestAWatchWhoseHeadCannotBeSentEndsWithItsConnection(t *testing.T) {
	r := newRig(t, patientLimits)
	client, served, _ := r.connect()
	served.BreakOff()
	if err := client.Send("GET /v2/keys" + watchedKey + "?wait=true HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r.awaitEnd("a client that cannot be sent the head of its watch")
	r.awaitWatchEnd("client")
}
