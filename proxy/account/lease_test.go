package account

import (
	"testing"

	"pgregory.net/rapid"
)

func TestALeaseHoldsWhatIsChargedAndLittleMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := NewTable()
		p := table.NewPool(Options{Name: "bytes", Total: 4096, Reserve: 512})
		a := client(table, 0, 0)
		lease := NewLease(p, a, Ordinary)
		charged := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"grow": func(t *rapid.T) {
				n := rapid.Int64Range(0, 3<<20).Draw(t, "more")
				fits := steps(charged+n) <= 4096-512
				if got := lease.TryGrow(n); got != fits {
					t.Fatalf("with %d bytes charged, growing by %d: got %v, want %v", charged, n, got, fits)
				}
				if fits {
					charged += n
				}
			},
			"close": func(*rapid.T) {
				lease.Close()
				charged = 0
				if p.Used() != 0 {
					t.Fatalf("a closed lease holds %d units, want none", p.Used())
				}
			},
			"": func(t *rapid.T) {
				held := p.Used() * LeaseUnit
				if lease.Bytes() != charged || held < charged || held > charged+leaseStep*LeaseUnit {
					t.Fatalf("got %d bytes charged and %d held, want %d and little more", lease.Bytes(), held, charged)
				}
			},
		})
		lease.Close()
		a.Close()
		checkEmpty(t, p)
	})
}

func TestALargeLeaseDoesNotWaitForMoreThanThereIs(t *testing.T) {
	table := NewTable()
	p := table.NewPool(Options{Name: "bytes", Total: 64})
	lease := NewLease(p, client(table, 0, 0), Ordinary)
	if err := lease.Grow(t.Context(), 1<<20); err != ErrTooLarge { //nolint:errorlint // the error itself is promised
		t.Errorf("growing by more than the total: got %v, want %v", err, ErrTooLarge)
	}
	if lease.Bytes() != 0 || p.Used() != 0 {
		t.Errorf("after that: got %d bytes charged and %d units in use, want 0 and 0", lease.Bytes(), p.Used())
	}
	if err := lease.Grow(t.Context(), 64<<10); err != nil || p.Used() != 64 {
		t.Errorf("growing by the total: got %v and %d units in use, want none and 64", err, p.Used())
	}
	if lease.Close(); p.Used() != 0 {
		t.Errorf("after the lease was closed: got %d units in use, want 0", p.Used())
	}
}
