package std

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// TestStreamsAreChargedAsLongAsTheyAreOpenOrServed lets handlers end before and after their
// streams, and streams end that never had a handler.
func TestStreamsAreChargedAsLongAsTheyAreOpenOrServed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := account.NewTable()
		const most = 20
		pool := table.NewPool(account.Options{Name: "streams", Total: most * streamUnits})
		a := table.Address(seed.Peer().Addr.Addr())
		s := newStreams(pool, a)
		var open, uploads []uint32
		handlers, next := 0, uint32(1)
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				receives := rapid.Bool().Draw(t, "receives")
				window := int64(0)
				if receives || len(uploads) > 0 {
					window = windowUnits
				}
				fits := int64(max(len(open)+1, handlers))*streamUnits+window <= most*streamUnits
				got := s.begin(next, receives)
				if got != fits {
					t.Fatalf("beginning stream %d beside %d open ones and %d handlers: got %v, want %v", next, len(open), handlers, got, fits)
				}
				if !got { // its client gives up
					s.end(next)
				} else {
					open = append(open, next)
					if receives {
						uploads = append(uploads, next)
					}
				}
				next += 2
			},
			"end": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("no stream is open")
				}
				id := rapid.SampledFrom(open).Draw(t, "stream")
				of := func(n uint32) bool { return n == id }
				open, uploads = slices.DeleteFunc(open, of), slices.DeleteFunc(uploads, of)
				s.end(id)
				s.end(id) // by the other side as well
			},
			"start": func(t *rapid.T) {
				if handlers >= len(open) {
					t.Skip("every stream has a handler")
				}
				handlers++
				if !s.startHandler() {
					t.Fatal("the handler of a charged stream is told to refuse it")
				}
			},
			"finish": func(t *rapid.T) {
				if handlers == 0 {
					t.Skip("no handler runs")
				}
				handlers--
				s.endHandler()
			},
			"": func(t *rapid.T) {
				want := int64(max(len(open), handlers)) * streamUnits
				if len(uploads) > 0 {
					want += windowUnits
				}
				if got := pool.Used(); got != want {
					t.Fatalf("with %d open streams, %d of them uploads, and %d handlers: got %d units charged, want %d", len(open), len(uploads), handlers, got, want)
				}
			},
		})
		s.close()
		for range handlers {
			s.endHandler()
		}
		a.Close()
		if got, left := pool.Used(), table.Len(); got != 0 || left != 0 {
			t.Errorf("after the connection and its handlers: got %d units charged to %d accounts, want none", got, left)
		}
	})
}

// TestAStreamIsPassedOnWhenTheHandlerOfARefusedOneEnds begins a stream in a full pool while the
// handler of a stream without memory outlasts its stream.
func TestAStreamIsPassedOnWhenTheHandlerOfARefusedOneEnds(t *testing.T) {
	for name, receives := range map[string]bool{"without a body": false, "with a body": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := account.NewTable()
				pool := table.NewPool(account.Options{Name: "streams", Total: 2*streamUnits + windowUnits})
				a := table.Address(seed.Peer().Addr.Addr())
				defer a.Close()
				s := newStreams(pool, a)
				defer s.close()
				if !pool.TryAcquire(a, windowUnits, account.Ordinary) {
					t.Fatal("an empty pool refused units")
				}
				begin := func(id uint32, receives, want bool) {
					if got := s.begin(id, receives); got != want {
						t.Fatalf("beginning stream %d: got %v, want %v", id, got, want)
					}
				}
				wait := func() bool {
					ctx, cancel := context.WithTimeout(t.Context(), streamPatience)
					defer cancel()
					return s.wait(ctx) && ctx.Err() == nil
				}
				begin(1, false, true)
				begin(3, false, true)
				s.startHandler()
				s.startHandler()
				begin(5, false, false)
				if wait() || s.startHandler() {
					t.Fatal("a stream has memory in a full pool")
				}
				s.end(5)
				s.end(3)
				if receives {
					pool.Release(a, windowUnits, account.Ordinary)
				}
				begin(7, receives, false)
				passed := make(chan bool)
				go func() { passed <- wait() }()
				synctest.Wait()
				s.endHandler()
				if !<-passed {
					t.Error("the stream was not passed on before the end of its wait, although no more is needed than there is")
				}
				if !s.startHandler() {
					t.Error("the stream is refused")
				}
				for range 3 {
					s.endHandler()
				}
			})
		})
	}
}
