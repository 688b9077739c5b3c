package std

import (
	"context"
	"testing"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// TestALoginWaitsNoLongerThanItsClient lets a login wait for its turn until its client has left. The
// client has not sent its body, so net/http itself does not notice.
func TestALoginWaitsNoLongerThanItsClient(t *testing.T) {
	r := newRig(t, func(*rig) {})
	waits, ended := make(chan struct{}), make(chan bool, 1)
	r.exchange.Gate.HashTurn = func(ctx context.Context, _ *gate.Peer, _ bool) (func(), error) {
		gone := false
		defer func() { ended <- gone }() // even if there is a panic
		defer close(waits)
		done := ctx.Done()
		waits <- struct{}{}
		<-done
		gone = true
		return nil, ctx.Err()
	}
	client, _ := r.raw()
	if err := client.Send("PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nAuthorization: " + seed.Basic("conftool") + "\r\nContent-Length: 9\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-waits
	client.Close()
	if !<-ended {
		t.Error("the wait ended before the client had left")
	}
	if err := r.conns.Wait(t.Context(), lane.Standard); err != nil {
		t.Error(err)
	}
}
