package lane

import (
	"context"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
)

func TestACallKnowsHowLongItWaitedForItsTurn(t *testing.T) {
	r := newRig(t, func(http.ResponseWriter, *http.Request) {})
	r.Slots = r.Accounts.NewPool(account.Options{Name: "requests", Total: 1, Queue: 10})
	client := r.Accounts.Address(netip.MustParseAddr("192.0.2.1"))
	defer client.Close()
	do := func(call *Call) {
		t.Helper()
		call.Peer.Account = client
		a, refusal, err := r.Do(context.Background(), call, room(100))
		if refusal != nil || err != nil {
			t.Errorf("got refusal %v and error %v", refusal, err)
		}
		a.Close()
	}
	call := r.call(t, "PUT", "/v2/keys/eventlogging/a", "")
	if do(call); call.Turn != 0 {
		t.Errorf("a call for which a slot was free: got the wait %v, want none", call.Turn)
	}

	if !r.Slots.TryAcquire(client, 1, account.Ordinary) {
		t.Fatal("the slot is not free")
	}
	waiting, done := r.call(t, "PUT", "/v2/keys/eventlogging/a", ""), make(chan struct{})
	go func() {
		defer close(done)
		do(waiting)
	}()
	for r.Slots.Status().Waiting == 0 {
		time.Sleep(time.Millisecond) //nolint:forbidigo // a pool signals nothing
	}
	before := time.Now()
	time.Sleep(5 * time.Millisecond) //nolint:forbidigo // the time that the call waits
	least := time.Since(before)
	r.Slots.Release(client, 1, account.Ordinary)
	if <-done; waiting.Turn < least {
		t.Errorf("a call that waited for a slot: got the wait %v, want at least %v", waiting.Turn, least)
	}
	r.quiet(t)
}
