package account

import (
	"fmt"
	"net/netip"
	"testing"
)

// declining is a holder that gives nothing back: all holders are asked.
type declining struct{ class Class }

func (d *declining) Class() Class       { return d.class }
func (d *declining) Revoke(Class) int64 { return 0 }

// everyone makes many accounts hold one unit each of a pool, and those of every hundredth network two.
func everyone(b *testing.B, p *Pool, accounts int, class Class) {
	b.Helper()
	for i := range accounts {
		a := p.table.Address(netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 4: byte(i >> 16), 5: byte(i >> 8), 7: byte(i)}))
		n := int64(1)
		if i>>8%100 == 0 {
			n = 2
		}
		if !p.TryAcquire(a, n, Ordinary) {
			b.Fatalf("account %d got no unit", i)
		}
		p.Register(a, &declining{class})
	}
}

// BenchmarkReclaim takes back from many accounts, none of which gives anything: the longest that a call
// can take.
func BenchmarkReclaim(b *testing.B) {
	for _, accounts := range []int{6_000, 60_000} {
		for name, reclaim := range map[string]func(*Ledger, *Pool){
			"ledger": func(l *Ledger, _ *Pool) { l.Reclaim(1) },
			"modest": func(l *Ledger, _ *Pool) { l.current() },
			"pool":   func(_ *Ledger, p *Pool) { p.Reclaim(1) },
			"survey": func(_ *Ledger, p *Pool) { p.surveyAll(p.usages.due) },
			"plan":   func(_ *Ledger, p *Pool) { p.donors(p.Used(), 1) },
		} {
			b.Run(fmt.Sprintf("%s/accounts=%d", name, accounts), func(b *testing.B) {
				table := NewTable()
				p := table.NewPool(Options{Name: "test", Total: 1 << 20, Bytes: 1})
				for range 5 {
					table.NewPool(Options{Name: "other", Total: 1, Bytes: 1})
				}
				l := table.NewLedger()
				everyone(b, p, accounts, Silent)
				for b.Loop() {
					reclaim(l, p)
				}
			})
		}
	}
}
