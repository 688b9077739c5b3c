package lane

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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

func TestSheddingEndsIdleConnectionsOfAllLanesAndNoOthers(t *testing.T) {
	var conns Conns
	var idle, busy []*fakeConn
	for i := range 40 {
		c := &fakeConn{}
		c.idle.Store(i%2 == 0)
		if c.idle.Load() {
			idle = append(idle, c)
		} else {
			busy = append(busy, c)
		}
		if !conns.Register(Lane(i/20), c) {
			t.Fatalf("connection %d was not registered", i)
		}
	}
	if n := conns.Shed(1); n != 1 {
		t.Errorf("%d connections were ended, want 1", n)
	}
	if n := conns.Shed(100); n != 19 {
		t.Errorf("%d more connections were ended, want 19", n)
	}
	for i, c := range idle {
		if !c.ended.Load() {
			t.Errorf("idle connection %d was not ended", i)
		}
	}
	for i, c := range busy {
		if c.ended.Load() || c.cut.Load() {
			t.Errorf("busy connection %d was ended", i)
		}
	}
}

func TestBusyConnectionsOfOneLaneDoNotHideIdleOnesOfAnother(t *testing.T) {
	for busy := range numLanes {
		var conns Conns
		for range 1000 {
			conns.Register(busy, &fakeConn{})
		}
		idle := &fakeConn{}
		idle.idle.Store(true)
		conns.Register(numLanes-1-busy, idle)
		if n := conns.Shed(1); n != 1 || !idle.ended.Load() {
			t.Errorf("with 1000 busy connections in lane %d: %d connections were ended, want the idle one of the other lane", busy, n)
		}
	}
}

func TestAClosedLaneTakesNoConnectionAndWaitsForItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conns Conns
		fast, standard := &fakeConn{}, &fakeConn{}
		conns.Register(Fast, fast)
		conns.Register(Standard, standard)
		time.AfterFunc(time.Second, func() { conns.Release(Fast, fast) })
		if err := conns.Close(context.Background(), Fast); err != nil {
			t.Errorf("closing: %v", err)
		}
		if conns.Register(Fast, &fakeConn{}) {
			t.Error("a closed lane took a connection")
		}
		if !conns.Register(Standard, &fakeConn{}) {
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
