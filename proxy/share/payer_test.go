package share

import (
	"context"
	"net/netip"
	"testing"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
)

// TestWhoWantsLeastPaysWheneverItCame lets readers join a batch that waits for its turn. Reader i
// holds i units.
func TestWhoWantsLeastPaysWheneverItCame(t *testing.T) {
	table := account.NewTable()
	bytes := table.NewPool(account.Options{Name: "bytes", Total: 100})
	limits := bulk.NewLimits(bytes, table.NewPool(account.Options{Name: "trees", Total: 2}), nil)
	var readers []*account.Account
	for i := range 6 {
		a := table.Address(netip.AddrFrom4([4]byte{10, 0, byte(i), 1}))
		if i > 0 && !bytes.TryAcquire(a, int64(i), account.Ordinary) {
			t.Fatal("the pool is not free")
		}
		readers = append(readers, a)
	}
	learned := limits.Read(readers[0], "/a", false)
	learned.Began(10*bulk.Unit, true)

	var p payment
	interrupted := 0
	offer := func(i int) {
		claim := limits.Read(readers[i], "/a", false)
		p.offer(&claim)
	}
	expect := func(when string, payer, better, interrupts int) {
		t.Helper()
		of := func(i int) *account.Account {
			if i < 0 {
				return nil
			}
			return readers[i]
		}
		if p.payer != of(payer) || p.better.Account() != of(better) || interrupted != interrupts {
			t.Errorf("%s: got %v as the payer, %v as the next one and %d interruptions, want %v, %v and %d",
				when, p.payer, p.better.Account(), interrupted, of(payer), of(better), interrupts)
		}
	}
	free := limits.Read(readers[0], "/unknown", false)
	p.offer(&free)
	expect("a reader of something small", -1, -1, 0)
	offer(5)
	expect("the first reader", 5, -1, 0)
	offer(4)
	expect("one that wants less", 4, -1, 0)
	offer(5)
	expect("one that wants more", 4, -1, 0)
	p.begin(func() { interrupted++ })
	offer(4)
	expect("the payer again", 4, -1, 0)
	offer(1)
	expect("one that wants less while the payer waits", 4, 1, 1)
	offer(2)
	expect("one that wants more than the next payer, and less than the payer", 4, 1, 1)
	offer(0)
	expect("one that wants less than the next payer", 4, 0, 2)
	p.begin(func() { interrupted++ })
	expect("the next wait", 0, -1, 2)
	if p.claim.Account() != readers[0] {
		t.Errorf("the claim: got that of %v, want that of the payer", p.claim.Account())
	}
	p.interrupt()
	expect("an interruption", 0, -1, 3)
	p.close()

	// Nobody pays any more, so each account has one use.
	for i, a := range readers {
		if i > 0 {
			bytes.Release(a, int64(i), account.Ordinary)
		}
		a.Close()
	}
	if n := table.Len(); n != 0 {
		t.Errorf("in the end: got %d accounts in use, want none", n)
	}
}

func TestTheUseOfTheNextPayerEndsWithThePayment(t *testing.T) {
	table := account.NewTable()
	bytes := table.NewPool(account.Options{Name: "bytes", Total: 100})
	limits := bulk.NewLimits(bytes, table.NewPool(account.Options{Name: "trees", Total: 2}), nil)
	greedy, modest := table.Address(netip.MustParseAddr("192.0.2.1")), table.Address(netip.MustParseAddr("198.51.100.1"))
	learned := limits.Read(greedy, "/a", false)
	learned.Began(10*bulk.Unit, true)
	bytes.TryAcquire(greedy, 5, account.Ordinary)

	p := payment{waiting: func() {}}
	p.setPayer(limits.Read(greedy.Reopen(), "/a", false))
	claim := limits.Read(modest, "/a", false)
	if p.offer(&claim); p.better.Account() != modest {
		t.Errorf("the next payer: got %v, want %v", p.better.Account(), modest)
	}
	p.close()
	bytes.Release(greedy, 5, account.Ordinary)
	greedy.Close()
	modest.Close()
	if n := table.Len(); n != 0 {
		t.Errorf("in the end: got %d accounts in use, want none", n)
	}
}

// queued is a reader that can give up.
type queued struct{ leave chan context.CancelFunc }

func (q queued) Queued(leave context.CancelFunc) { q.leave <- leave }

func TestAReaderCanGiveUpOnlyAnAnswerThatIsNotSmall(t *testing.T) {
	p := newPayers(t)
	reader := queued{make(chan context.CancelFunc, 10)}
	for _, path := range []string{"/a", "/small"} {
		var lead Lead
		if path != "/a" { // a request of /a is in flight
			var err error
			if lead, _, err = p.Join(t.Context(), path, "", &bulk.Claim{}, nil); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		claim := p.limits.Read(p.modest, path, false)
		failed := make(chan error, 1)
		go func() {
			_, _, err := p.Join(ctx, path, "", &claim, reader)
			failed <- err
		}()
		p.waitForReaders(t, path, 1)
		if path == "/a" {
			(<-reader.leave)()
		} else {
			cancel()
		}
		if err := <-failed; err == nil {
			t.Errorf("%s: a read that was given up got no error", path)
		}
		if path == "/a" {
			if end := <-reader.leave; end != nil {
				t.Error("the end of the wait: got a function, want nil")
			}
		}
		if n := len(reader.leave); n != 0 {
			t.Errorf("%s: the reader was told %d times more that it waits, want none", path, n)
		}
		cancel()
		lead.Done()
	}
	p.lead.Done()
	p.end(t)
}
