package std

import (
	"context"
	"testing"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// TestALoginWaitsNoLongerThanItsClient lets logins wait for their turn. One has its turn, and the client of the
// other leaves. That has not sent its body, so net/http itself does not notice.
func TestALoginWaitsNoLongerThanItsClient(t *testing.T) {
	r := newRig(t, func(*rig) {})
	waits, ended, turn := make(chan (<-chan struct{})), make(chan bool, 1), make(chan struct{})
	r.exchange.Gate.HashTurn = func(ctx context.Context, _ *gate.Peer, _ bool) (func(), error) {
		gone := false
		defer func() { ended <- gone }() // even if there is a panic
		var done <-chan struct{}
		defer func() {
			if done == nil {
				close(waits)
			}
		}()
		done = ctx.Done()
		waits <- done
		select {
		case <-turn:
			return func() {}, nil
		case <-done:
			gone = true
			return nil, ctx.Err()
		}
	}
	write := func(user string) *proxytest.Raw {
		t.Helper()
		client, _ := r.raw()
		if err := client.Send("PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nAuthorization: " + seed.Basic(user) + "\r\nContent-Length: 9\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return client
	}
	client := write("conftool")
	done := <-waits
	if done == nil {
		t.Fatal("a login cannot wait")
	}
	turn <- struct{}{}
	if <-ended {
		t.Error("a login whose turn has come: its client is said to have left")
	}
	<-done // what watches for the client's end does not outlast the login
	if err := client.Send("value=123"); err != nil {
		t.Fatal(err)
	}
	if a, err := client.Answer("PUT"); err != nil || a.Status != 200 {
		t.Errorf("a login whose turn has come: got %+v and the error %v, want etcd's answer", a, err)
	}
	client.Close()
	client = write("root")
	<-waits
	client.Close()
	if !<-ended {
		t.Error("the wait ended before the client had left")
	}
	if err := r.conns.Wait(t.Context(), lane.Standard); err != nil {
		t.Error(err)
	}
}
