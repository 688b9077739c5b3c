package gate_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// loginWith is a write to a key of root with a password.
func loginWith(g *gate.Gate, p *gate.Policy, peer *gate.Peer, password string) *gate.Refusal {
	var op gate.Operation
	return g.Decide(context.Background(), p, &gate.Request{
		Method: "PUT", Target: "/v2/keys/x", Peer: peer, Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte("root:"+password)),
	}, &op)
}

func TestAPasswordIsHashedInTheTurnOfItsClient(t *testing.T) {
	g, p := newGate(t, nil)
	now := time.Now() // it stands still, so that no failure is forgiven meanwhile
	g.Throttle = acl.NewThrottle(acl.ThrottleOptions{Burst: 1000, Now: func() time.Time { return now }})
	peer := seed.Peer()
	var turns []bool // whether each was of the suspects
	var refused error
	g.HashTurn = func(_ context.Context, of *gate.Peer, ofSuspects bool) (func(), error) {
		if of != peer {
			t.Errorf("a turn of the peer %v: got one for %v", peer.Addr, of.Addr)
		}
		turns = append(turns, ofSuspects)
		return func() {}, refused
	}
	for range 4 { // the fourth is by a suspect
		if refusal := loginWith(g, p, peer, "guess"); refusal != gate.RefuseIdentity {
			t.Errorf("a guess: got the refusal %v, want %v", refusal, gate.RefuseIdentity)
		}
	}
	if want := []bool{false, false, false, true, false}; len(turns) != len(want) || !turns[3] || turns[0] || turns[1] || turns[2] || turns[4] {
		t.Errorf("turns of suspects for four guesses: got %v, want %v", turns, want)
	}
	refused = errors.New("no turn")
	if refusal := loginWith(g, p, peer, "root-pw"); refusal != gate.RefuseBusy {
		t.Errorf("a login without a turn: got the refusal %v, want %v", refusal, gate.RefuseBusy)
	}
}

// logInAtOnce logs in from one address so many times at once, while one hash is computed at a time.
// It returns the number of answers of each status, 0 for success, and that of hashes.
func logInAtOnce(t *testing.T, count int, password string) (statuses map[int]int, hashes int64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g, p := newGate(t, nil)
		g.Throttle = acl.NewThrottle(acl.ThrottleOptions{Burst: 20, Every: time.Hour})
		workers, suspects := make(chan struct{}, 1), make(chan struct{}, 1)
		var turns atomic.Int64
		g.HashTurn = func(_ context.Context, _ *gate.Peer, ofSuspects bool) (func(), error) {
			if ofSuspects {
				suspects <- struct{}{}
				return func() { <-suspects }, nil
			}
			workers <- struct{}{}
			return func() { <-workers }, nil
		}
		g.Login = func(l gate.Login) {
			if l == gate.LoginWrongPassword || l == gate.LoginVerified {
				turns.Add(1)
			}
		}
		workers <- struct{}{} // until all have passed what is before their turn
		statuses = make(map[int]int)
		var mu sync.Mutex
		var logins sync.WaitGroup
		for range count {
			logins.Go(func() {
				status := 0
				if refusal := loginWith(g, p, seed.Peer(), password); refusal != nil {
					status = refusal.Status
				}
				mu.Lock()
				defer mu.Unlock()
				statuses[status]++
			})
		}
		synctest.Wait()
		<-workers
		logins.Wait()
		hashes = turns.Load()
	})
	return statuses, hashes
}

func TestRightPasswordsAtOnceAreNotThrottled(t *testing.T) {
	if got, _ := logInAtOnce(t, 60, "root-pw"); got[0] != 60 {
		t.Errorf("60 logins at once with the right password: got the answers %v, want 60 successes", got)
	}
}

func TestAFloodOfWrongPasswordsGetsNoMoreHashesThanItsBurst(t *testing.T) {
	// The next login may have its turn at the only worker before the failure of the last one is counted.
	if got, hashes := logInAtOnce(t, 200, "guess"); hashes < 20 || hashes > 21 || got[401] != int(hashes) || got[401]+got[429] != 200 {
		t.Errorf("200 logins at once with a wrong password: got the answers %v and %d hashes, want 20 or 21 failures, which are hashed, and else refusals", got, hashes)
	}
}

func TestAThrottledClientIsSentTheSecondsToWait(t *testing.T) {
	g, p := newGate(t, nil)
	for every, want := range map[time.Duration]int{time.Second: 1, 10 * time.Millisecond: 1, time.Hour: 3600} {
		now := time.Now()
		g.Throttle = acl.NewThrottle(acl.ThrottleOptions{Burst: 1, Every: every, Now: func() time.Time { return now }})
		loginWith(g, p, seed.Peer(), "guess")
		if refusal := loginWith(g, p, seed.Peer(), "guess"); refusal == nil || refusal.Status != 429 || refusal.RetryAfter != want {
			t.Errorf("a guess too many where one is allowed every %v: got the refusal %+v, want status 429 and a wait of %d s", every, refusal, want)
		}
	}
	if gate.RefuseThrottled.RetryAfter != 0 {
		t.Errorf("the refusal that all clients share: got a wait of %d s, want none", gate.RefuseThrottled.RetryAfter)
	}
}

// Connections of accounts that have proved a password are the last to be closed.
func TestAnAccountProvesAPasswordByALoginThatSucceeds(t *testing.T) {
	g, p := newGate(t, nil)
	for password, want := range map[string]bool{"root-pw": true, "guess": false} {
		peer := seed.Peer()
		peer.Account = account.NewTable().Address(netip.MustParseAddr("192.0.2.1"))
		defer peer.Account.Close()
		loginWith(g, p, peer, password)
		if got := peer.Account.HasProved(); got != want {
			t.Errorf("HasProved of an account after a login, right: %t: got %t", want, got)
		}
	}
}
