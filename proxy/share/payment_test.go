package share

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
)

// payers are two clients in networks of their own. The first one holds all that it can have.
type payers struct {
	*Reads
	*gated
	table          *account.Table
	bytes          *account.Pool
	limits         *bulk.Limits
	greedy, modest *account.Account
	lead           Lead
	readers        sync.WaitGroup
}

// newPayers returns clients that read a large key, while a request for it is in flight.
func newPayers(t *testing.T) *payers {
	t.Helper()
	g := newGated()
	r, _ := newReads(t, g.ServeHTTP)
	p := &payers{Reads: r, gated: g, table: account.NewTable()}
	p.bytes = p.table.NewPool(account.Options{Name: "bytes", Total: 100, Reserve: 20, ForNewcomers: true})
	p.limits = bulk.NewLimits(p.bytes, p.table.NewPool(account.Options{Name: "trees", Total: 2}), nil)
	p.greedy, p.modest = p.table.Address(netip.MustParseAddr("192.0.2.1")), p.table.Address(netip.MustParseAddr("198.51.100.1"))
	learned := p.limits.Read(p.modest, "/a", false)
	learned.Began(10*bulk.Unit, true)
	var err error
	if p.lead, _, err = r.Join(t.Context(), "/a", "", &bulk.Claim{}, nil); err != nil {
		t.Fatal(err)
	}
	if !p.bytes.TryAcquire(p.greedy, 80, account.Ordinary) {
		t.Fatal("the pool is not free")
	}
	return p
}

// join lets a client join the batch.
func (p *payers) join(t *testing.T, ctx context.Context, a *account.Account, fails bool) {
	p.readers.Go(func() {
		claim := p.limits.Read(a, "/a", false)
		_, answer, err := p.Join(ctx, "/a", "", &claim, nil)
		if (answer == nil) != fails {
			t.Errorf("a read of %s: got %v, %v, want an answer: %t", a, answer, err, !fails)
		}
		if answer != nil {
			answer.Release()
		}
	})
}

// end checks that nothing is held in the end.
func (p *payers) end(t *testing.T) {
	t.Helper()
	p.readers.Wait()
	p.bytes.Release(p.greedy, 80, account.Ordinary)
	p.greedy.Close()
	p.modest.Close()
	p.waitUntil(t, func() bool { return p.bytes.Used() == 0 && p.table.Len() == 0 }, func() string {
		return fmt.Sprintf("in the end: got %d units and %d accounts in use, want none", p.bytes.Used(), p.table.Len())
	})
}

// TestNobodyWaitsForTheTurnOfAnotherReaderOfABatch lets a client that holds more than its share
// join a batch first.
func TestNobodyWaitsForTheTurnOfAnotherReaderOfABatch(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%t", late), func(t *testing.T) {
			p := newPayers(t)
			p.join(t, t.Context(), p.greedy, false)
			p.waitForReaders(t, "/a", 1)
			if late {
				p.lead.Done()
				for p.bytes.Status().Waiting == 0 {
					time.Sleep(time.Millisecond) //nolint:forbidigo // a pool signals nothing
				}
			}
			p.join(t, t.Context(), p.modest, false)
			if !late {
				p.waitForReaders(t, "/a", 2)
				p.lead.Done()
			}
			<-p.received
			if held := p.modest.Held(p.bytes); held != 10 {
				t.Errorf("the request of a batch of two readers: got %d units of the one that holds least, want 10", held)
			}
			close(p.answer)
			p.end(t)
		})
	}
}

func TestABatchThatAllReadersLeaveDoesNotWaitForItsTurn(t *testing.T) {
	p := newPayers(t)
	ctx, cancel := context.WithCancel(t.Context())
	p.join(t, ctx, p.greedy, true)
	p.waitForReaders(t, "/a", 1)
	p.lead.Done()
	for p.bytes.Status().Waiting == 0 {
		time.Sleep(time.Millisecond) //nolint:forbidigo // a pool signals nothing
	}
	cancel()
	p.waitUntil(t, func() bool { return p.countFlights() == 0 }, func() string { return "the batch goes on without readers" })
	if waiting := p.bytes.Status().Waiting; waiting != 0 {
		t.Errorf("after all readers have left: got %d waiters, want none", waiting)
	}
	p.end(t)
}

// The answer needs room for its bytes, and a place among those that etcd works for.
func TestABatchThatGetsAPartOfWhatItNeedsGivesItBack(t *testing.T) {
	p := newPayers(t)
	p.bytes.Release(p.greedy, 80, account.Ordinary) // only places are missing
	learned := p.limits.Read(p.modest, "/a", false)
	learned.Began(20*bulk.Unit, true)
	if !p.limits.Trees.TryAcquire(p.greedy, 2, account.Ordinary) {
		t.Fatal("the places are not free")
	}
	ctx, cancel := context.WithCancel(t.Context())
	p.join(t, ctx, p.modest, true)
	p.waitForReaders(t, "/a", 1)
	p.lead.Done()
	for p.limits.Trees.Status().Waiting == 0 {
		time.Sleep(time.Millisecond) //nolint:forbidigo // a pool signals nothing
	}
	cancel()
	p.waitUntil(t, func() bool { return p.countFlights() == 0 }, func() string { return "the batch goes on without readers" })
	if held := p.bytes.Used(); held != 0 {
		t.Errorf("a batch whose only reader left while it waited for a place: got %d units held, want none", held)
	}
	p.limits.Trees.Release(p.greedy, 2, account.Ordinary)
	if !p.bytes.TryAcquire(p.greedy, 80, account.Ordinary) {
		t.Error("after the batch: got no 80 of 100 units")
	}
	p.end(t)
}
