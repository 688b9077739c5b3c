package lane

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// fakeConn is a connection that ends when it is asked to.
type fakeConn struct {
	idle, ended, cut atomic.Bool
}

func (c *fakeConn) CloseIfIdle() bool {
	if !c.idle.Load() {
		return false
	}
	return c.ended.CompareAndSwap(false, true)
}

func (c *fakeConn) Cut() { c.cut.Store(true) }

func (c *fakeConn) Class() account.Class {
	if c.idle.Load() {
		return account.Silent
	}
	return account.Watching
}

func (c *fakeConn) CutIf(class account.Class) bool {
	if c.Class() == class {
		c.Cut()
	}
	return c.cut.Load()
}

func TestAShortPoolTakesConnectionsOfAllLanesFromAClientAboveItsShare(t *testing.T) {
	table := account.NewTable()
	pool := table.NewPool(account.Options{Name: "connections", Total: 1000})
	var revoked atomic.Int32
	conns := Conns{Pool: pool, Revoked: func() { revoked.Add(1) }}
	flood, modest := table.Address(netip.MustParseAddr("192.0.2.1")), table.Address(netip.MustParseAddr("198.51.100.1"))
	all := make(map[*account.Account][]*fakeConn)
	add := func(a *account.Account, n int, idle bool) {
		for i := range n {
			c := &fakeConn{}
			c.idle.Store(idle)
			if !pool.TryAcquire(a, 1, account.Ordinary) || !conns.Register(Lane(i%2), c, a) {
				t.Fatalf("connection %d was not registered", i)
			}
			all[a] = append(all[a], c)
		}
	}
	add(modest, 400, false)
	add(flood, 502, false)
	add(flood, 4, true)
	// The share of each of two networks, if one more came, is 302. Whoever is above it by more gives first.
	if n := pool.Reclaim(10); n != 10 || revoked.Load() != 10 {
		t.Errorf("reclaiming: got %d connections, %d of them reported, want 10", n, revoked.Load())
	}
	ended, cut := make(map[*account.Account]int), make(map[*account.Account]int)
	for a, conns := range all {
		for _, c := range conns {
			if c.ended.Load() {
				ended[a]++
			}
			if c.cut.Load() {
				cut[a]++
			}
		}
	}
	if ended[flood] != 4 || cut[flood] != 6 || ended[modest] != 0 || cut[modest] != 0 {
		t.Errorf("got %d idle and %d other connections of the flood ended, and %d and %d of the other client; want 4 and 6, and none",
			ended[flood], cut[flood], ended[modest], cut[modest])
	}
	for _, registered := range all {
		for _, c := range registered {
			conns.Release(Fast, c)
			conns.Release(Standard, c)
		}
	}
	if n := pool.Reclaim(10); n != 0 {
		t.Errorf("reclaiming after all connections were released from their lanes: got %d, want none", n)
	}
}

func TestAClosedLaneTakesNoConnectionAndWaitsForItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conns Conns
		fast, standard := &fakeConn{}, &fakeConn{}
		conns.Register(Fast, fast, nil)
		conns.Register(Standard, standard, nil)
		time.AfterFunc(time.Second, func() { conns.Release(Fast, fast) })
		if err := conns.Close(context.Background(), Fast); err != nil {
			t.Errorf("closing: %v", err)
		}
		if conns.Register(Fast, &fakeConn{}, nil) {
			t.Error("a closed lane took a connection")
		}
		if !conns.Register(Standard, &fakeConn{}, nil) {
			t.Error("the other lane took none")
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := conns.Wait(ctx, Standard); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for a connection that stays: got %v, want DeadlineExceeded", err)
		}
		conns.Cut(Standard)
		if !standard.cut.Load() || fast.cut.Load() {
			t.Errorf("cut: standard %t, fast %t; want only the standard lane's", standard.cut.Load(), fast.cut.Load())
		}
	})
}
