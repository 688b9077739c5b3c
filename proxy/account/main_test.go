package account

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Nobody may be left waiting, and no timer may run when nobody waits.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client returns account number i of a network.
func client(table *Table, network, i int) *Account {
	return table.Address(netip.AddrFrom4([4]byte{10, 0, byte(network), byte(i)}))
}

// checkEmpty checks that nothing is left in a pool and in its table, after everything was
// released and all accounts were closed.
func checkEmpty(t interface{ Errorf(string, ...any) }, p *Pool) {
	s := p.Status()
	left := fmt.Sprintf("used %d, state %#x, waiting %d, units waited for %d, networks waiting %d, accounts %d",
		s.Used, p.state.Load(), s.Waiting, p.queue.units, len(p.queue.networks), p.table.Len())
	if want := "used 0, state 0x0, waiting 0, units waited for 0, networks waiting 0, accounts 0"; left != want {
		t.Errorf("after everything was released: got %s, want %s", left, want)
	}
}

// pass lets time pass in a bubble of testing/synctest.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the clock is the bubble's: nothing waits
}
