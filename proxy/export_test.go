package proxy

import (
	"context"

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
