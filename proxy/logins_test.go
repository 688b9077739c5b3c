package proxy

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
)

func TestTheDefaultWorkersAreHalfOfTheProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for processors, want := range map[int]int64{1: 1, 2: 1, 4: 2, 6: 3} {
		runtime.GOMAXPROCS(processors)
		if got := newLogins(account.NewTable(), 0).workers.Status().Total; got != want {
			t.Errorf("workers with %d processors: got %d, want %d", processors, got, want)
		}
		if got := newLogins(account.NewTable(), 3).workers.Status().Total; got != 3 {
			t.Errorf("workers with %d processors, configured as 3: got %d, want 3", processors, got)
		}
	}
}

func TestOneLoginTooManyIsToldSoAtOnce(t *testing.T) {
	for ofSuspects, waiting := range map[bool]int{false: 64, true: 8} {
		synctest.Test(t, func(t *testing.T) {
			table := account.NewTable()
			l := newLogins(table, 1)
			peer := &gate.Peer{Account: table.Address(netip.MustParseAddr("192.0.2.1"))}
			defer peer.Account.Close()
			release, err := l.turn(t.Context(), peer, ofSuspects)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			results := make(chan error, waiting)
			for range waiting {
				go func() {
					_, err := l.turn(ctx, peer, ofSuspects)
					results <- err
				}()
			}
			synctest.Wait()
			if len(results) != 0 {
				t.Errorf("of suspects %t: got %d of %d results, want all to wait", ofSuspects, len(results), waiting)
			}
			if _, err := l.turn(ctx, peer, ofSuspects); !errors.Is(err, account.ErrBusy) {
				t.Errorf("of suspects %t, one login too many: got the error %v, want %v", ofSuspects, err, account.ErrBusy)
			}
			cancel()
			for range waiting {
				if err := <-results; !errors.Is(err, context.Canceled) {
					t.Errorf("of suspects %t, a login whose client has left: got the error %v, want %v", ofSuspects, err, context.Canceled)
				}
			}
			release()
		})
	}
}
