package lane

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// TestAKnownUserDoesNotWaitBehindStrangersAtTheSameAddress lets strangers hold all slots and wait
// for more. A user of their address takes turns with all of them.
func TestAKnownUserDoesNotWaitBehindStrangersAtTheSameAddress(t *testing.T) {
	asked, release := make(chan string, 100), make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		asked <- q.URL.Path
		<-release
		_, _ = io.WriteString(w, "x")
	})
	const strangers = 20
	r.Slots = r.Accounts.NewPool(account.Options{Name: "requests", Total: 2})
	addr := netip.MustParseAddr("192.0.2.1")
	var all sync.WaitGroup
	start := func(method, target, user string) {
		call := r.call(t, method, target, user)
		address, users := r.Accounts.Address(addr), r.Accounts.Users(addr)
		call.Peer.Account, call.Peer.Users = address, users
		all.Go(func() {
			defer address.Close()
			defer users.Close()
			a, refusal, err := r.Do(context.Background(), call, room(100))
			if refusal != nil || err != nil {
				t.Errorf("%s %s by %q: got refusal %v and error %v", method, target, user, refusal, err)
				return
			}
			a.Close()
		})
	}
	untilWaiting := func(n int64) {
		t.Helper()
		for limit := time.Now().Add(10 * time.Second); r.Slots.Status().Waiting != n; time.Sleep(time.Millisecond) { //nolint:forbidigo // a pool signals nothing
			if time.Now().After(limit) {
				t.Fatalf("after 10 s: got %d requests that wait, want %d", r.Slots.Status().Waiting, n)
			}
		}
	}
	for range strangers {
		start("PUT", "/v2/keys/eventlogging/a", "")
	}
	untilWaiting(strangers - 2)
	<-asked
	<-asked
	start("PUT", "/v2/keys/a", "root")
	untilWaiting(strangers - 1)
	release <- struct{}{}
	if path := <-asked; path != "/v2/keys/a" {
		t.Errorf("the first slot that became free: got a write of %s with it, want the user's", path)
	}
	close(release)
	all.Wait()
	if n := r.Accounts.Len(); n != 0 {
		t.Errorf("in the end: got %d accounts in use, want 0", n)
	}
}
