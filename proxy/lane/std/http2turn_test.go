package std

import (
	"io"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// takeTurn takes the only turn.
func (r *rig) takeTurn(a *account.Account) {
	for !r.frames.TryAcquire(a, 1, account.Ordinary) {
		time.Sleep(time.Millisecond) //nolint:forbidigo // nothing signals the end of another turn
	}
}

// waitForFrames waits until so many connections wait for their turn.
func (r *rig) waitForFrames(n int64) {
	for r.frames.Status().Waiting < n {
		time.Sleep(time.Millisecond) //nolint:forbidigo // nothing signals that a frame waits
	}
}

func TestARequestOfHTTP2WaitsForItsTurn(t *testing.T) {
	asked := make(chan struct{}, 1)
	r := newRigBefore(t, func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		_, _ = io.WriteString(w, "value")
	}, func(*rig) {})
	h := r.http2(1 << 16)
	until[*http2.SettingsFrame](h)
	h.must(h.WritePing(false, [8]byte{1}))
	until[*http2.PingFrame](h) // everything before it is processed
	other := r.table.Address(netip.MustParseAddr("192.0.2.1"))
	defer other.Close()
	r.takeTurn(other)
	h.ask(1)
	r.waitForFrames(1)
	if n := len(asked); n != 0 {
		t.Errorf("while another client has the only turn: got %d requests at etcd, want none", n)
	}
	r.frames.Release(other, 1, account.Ordinary)
	if head := until[*http2.MetaHeadersFrame](h); head.PseudoValue("status") != "200" {
		t.Errorf("after that: got status %s, want 200", head.PseudoValue("status"))
	}
}

// TestNoConnectionOfHTTP2KeepsItsTurn lets connections end and stay in many ways. There is one turn
// for all of them.
func TestNoConnectionOfHTTP2KeepsItsTurn(t *testing.T) {
	r := newRig(t, func(*rig) {})
	for what, send := range map[string]func(h *h2Client){
		"no frame":            func(*h2Client) {},
		"half a frame's head": func(h *h2Client) { _, _ = h.Conn.Write([]byte{0, 0, 9, 1}) },
		"half a head":         func(h *h2Client) { _, _ = h.Conn.Write([]byte{0, 0, 9, 1, 4, 0, 0, 0, 1, 0x82}) },
		"a head that goes on": func(h *h2Client) {
			h.must(h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: versionHead[:2], EndStream: true}))
		},
		"a frame that is an error":    func(h *h2Client) { h.must(h.WriteRSTStream(1, http2.ErrCodeCancel)) },
		"a request, and then nothing": func(h *h2Client) { h.ask(1) },
	} {
		stays, leaves := r.http2(0), r.http2(0)
		send(stays)
		send(leaves)
		leaves.Close()
		if status := r.versionOf(t, r.http2(1<<16)); status != "200" {
			t.Errorf("beside clients that sent %s: got status %s, want 200", what, status)
		}
	}
}

// versionOf asks for the version, and returns the status of the answer.
func (r *rig) versionOf(t *testing.T, h *h2Client) string {
	t.Helper()
	h.ask(1)
	return until[*http2.MetaHeadersFrame](h).PseudoValue("status")
}

// TestClientsThatLeaveWhileTheyWaitForTheirTurnAreNotServed closes connections before their turn.
func TestClientsThatLeaveWhileTheyWaitForTheirTurnAreNotServed(t *testing.T) {
	const clients = 30
	asked := make(chan struct{}, clients)
	r := newRigBefore(t, func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }, func(*rig) {})
	var all []*h2Client
	var wires []*lane.ClientConn
	for range clients {
		h := r.http2(1 << 16)
		wires = append(wires, lane.Wire((<-r.opened).(*http2Conn).tls))
		until[*http2.SettingsFrame](h)
		all = append(all, h)
	}
	other := r.table.Address(netip.MustParseAddr("192.0.2.1"))
	defer other.Close()
	r.takeTurn(other)
	for _, h := range all {
		h.ask(1)
	}
	r.waitForFrames(clients)
	for i, h := range all {
		h.Close()
		for !wires[i].PeerClosed() {
			time.Sleep(time.Millisecond) //nolint:forbidigo // the reader waits for its turn, not for the client
		}
	}
	r.frames.Release(other, 1, account.Ordinary)
	if err := r.conns.Wait(t.Context(), lane.Standard); err != nil {
		t.Fatal(err)
	}
	if len(asked) > 0 || r.frames.Used() != 0 {
		t.Errorf("got %d requests at etcd and %d turns in use, want none", len(asked), r.frames.Used())
	}
}

func TestATurnThatComesAfterTheEndOfItsConnectionIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := account.NewTable()
		pool := table.NewPool(account.Options{Name: "frames", Total: 1})
		client, other := table.Address(seed.Peer().Addr.Addr()), table.Address(netip.MustParseAddr("192.0.2.1"))
		var held, waits turn
		held.open(pool, other)
		waits.open(pool, client)
		other.Close()
		client.Close()
		held.take()
		var taking sync.WaitGroup
		taking.Go(func() { waits.take() })
		synctest.Wait()
		if status := pool.Status(); status.Used != 1 || status.Waiting != 1 {
			t.Errorf("two connections and one turn: got %d turns in use and %d that wait, want 1 and 1", status.Used, status.Waiting)
		}
		waits.close()
		held.close()
		taking.Wait()
		waits.close() // net/http may close a connection twice
		held.take()   // a closed one takes none
		if pool.Used() != 0 || table.Len() != 0 {
			t.Errorf("when all are closed: got %d turns in use and %d accounts, want none", pool.Used(), table.Len())
		}
	})
}
