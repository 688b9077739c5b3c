package fast

import (
	"context"
	"testing"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// TestALoginWaitsNoLongerThanItsClient lets logins wait for their turn. One has its turn, and the client of
// the other leaves.
func TestALoginWaitsNoLongerThanItsClient(t *testing.T) {
	r := newRig(t, patientLimits)
	waits, ended := make(chan (<-chan struct{})), make(chan error, 1)
	turn := make(chan struct{})
	r.Exchange.Gate.HashTurn = func(ctx context.Context, _ *gate.Peer, _ bool) (func(), error) {
		done := ctx.Done()
		waits <- done
		select {
		case <-turn:
			return func() {}, nil
		case <-done:
			ended <- ctx.Err()
			return nil, ctx.Err()
		}
	}
	write := "PUT /v2/keys/conftool/x HTTP/1.1\r\nHost: h\r\nAuthorization: "
	client := r.start()
	if err := client.Send(write + seed.Basic("conftool") + "\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	done := <-waits
	turn <- struct{}{}
	if a, err := client.Answer("PUT"); err != nil || a.Status != 201 {
		t.Errorf("a login whose turn has come: got %+v and the error %v, want the status 201", a, err)
	}
	<-done // what watches for the client's end does not outlast the login
	if err := client.Send(write + seed.Basic("root") + "\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-waits
	client.Close()
	if <-ended == nil {
		t.Error("the wait of a client that has left: got no error")
	}
	r.awaitEnd("a client that left while its login waited")
}
