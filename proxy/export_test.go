package proxy

import (
	"context"
	"net/netip"
	"runtime"
	"testing"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
)

// SetUsage replaces what the server reads of the memory in use, for tests in
// package proxy_test.
func (o *Options) SetUsage(live func() uint64) {
	o.usage = func() usage { return usage{live: live()} }
}

// KeepIdle keeps the server from closing idle connections when memory is short, for tests
// that send their next request on one. It must be called before Serve.
func (s *Server) KeepIdle() { s.memory.ledger = idleLedger{s.memory.ledger} }

// idleLedger takes nothing back.
type idleLedger struct{ ledger }

func (idleLedger) Reclaim(int64) int64 { return 0 }

// SetHashTurn replaces the turns of logins, for tests in package proxy_test. It must be
// called before Serve.
func (s *Server) SetHashTurn(turn func(context.Context, *gate.Peer, bool) (func(), error)) {
	s.exchange.Gate.HashTurn = turn
}

// HoldTurns takes all turns at handshakes, until release is called.
func (s *Server) HoldTurns(t *testing.T) (release func()) {
	t.Helper()
	turns := int64(runtime.GOMAXPROCS(0))
	a := s.accounts.Address(netip.MustParseAddr("192.0.2.99"))
	if err := s.handshakes.Acquire(t.Context(), a, turns, account.Ordinary); err != nil {
		t.Fatal(err)
	}
	return func() {
		s.handshakes.Release(a, turns, account.Ordinary)
		a.Close()
	}
}
