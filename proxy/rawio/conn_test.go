package rawio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// pair returns a connection of this package and its peer, over TCP or a Unix socket.
func pair(t *testing.T, network string) (*Conn, net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = t.TempDir() + "/s"
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); peer.Close() })
	return New(c, true), peer
}

func TestAllIsWrittenToAPeerThatIsSlowAndAllIsRead(t *testing.T) {
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	for _, network := range []string{"tcp", "unix"} {
		c, peer := pair(t, network)
		done := make(chan error, 1)
		go func() {
			n, err := c.Write(sent)
			if n != len(sent) && err == nil {
				err = io.ErrShortWrite
			}
			done <- errors.Join(err, c.Close())
		}()
		got, err := io.ReadAll(peer)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("writing over %s: got %d bytes at the peer, %v, want the %d bytes that were written", network, len(got), err, len(sent))
		}
		if err := <-done; err != nil {
			t.Errorf("writing over %s: %v", network, err)
		}
		c, peer = pair(t, network)
		go func() {
			_, err := peer.Write(sent)
			done <- errors.Join(err, peer.Close())
		}()
		got, err = io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("reading over %s: got %d bytes, %v, want the %d bytes that the peer wrote", network, len(got), err, len(sent))
		}
		if err := <-done; err != nil {
			t.Errorf("writing at the peer over %s: %v", network, err)
		}
	}
}

func TestErrorsAreThoseOfPackageNet(t *testing.T) {
	temporary := func(err error) bool {
		var e interface{ Temporary() bool } // crypto/tls continues only after these
		return errors.As(err, &e) && e.Temporary()
	}
	c, peer := pair(t, "tcp")
	if err := c.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !temporary(err) {
		t.Errorf("reading after the deadline: got %d, %v, want 0 and a temporary deadline error", n, err)
	}
	if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !temporary(err) {
		t.Errorf("writing after the deadline: got %d, %v, want 0 and a temporary deadline error", n, err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading until the deadline: got error %v, want a deadline error", err)
	}
	large := make([]byte, 64<<20)
	if err := c.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Write(large); n == 0 || n == len(large) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing %d bytes to a peer that does not read: got %d, %v, want a part of them and a deadline error", len(large), n, err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := peer.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	peer.Close()
	var failed *net.OpError
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &failed) || temporary(err) != failed.Temporary() {
		t.Errorf("reading after a reset: got %d, %v, want 0 and the same ECONNRESET as package net", n, err)
	}
	if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("writing after a reset: got %d, %v, want 0 and EPIPE", n, err)
	}
	c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading from a closed connection: got error %v, want net.ErrClosed", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing to a closed connection: got error %v, want net.ErrClosed", err)
	}
	c, peer = pair(t, "tcp")
	peer.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("reading at the end: got error %v, want io.EOF", err)
	}
}

func TestAConnectionThatIsClosedOrOutOfTimeWakesItsReader(t *testing.T) {
	for _, wake := range []func(c *Conn) error{
		func(c *Conn) error { return c.Close() },
		func(c *Conn) error { return c.SetReadDeadline(time.Unix(1, 0)) },
	} {
		c, _ := pair(t, "tcp")
		returned := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			returned <- err
		}()
		if err := wake(c); err != nil {
			t.Fatal(err)
		}
		if err := <-returned; err == nil {
			t.Error("reading while the connection is closed or its deadline passes: got no error, want one")
		}
	}
}

func TestWhatIsNoSocketIsReadAndWrittenAsBefore(t *testing.T) {
	a, b := net.Pipe()
	c := New(a, true)
	go func() { _, _ = b.Write([]byte("x")) }()
	p := make([]byte, 2)
	if n, err := c.Read(p); n != 1 || err != nil || c.RawConn() != nil {
		t.Errorf("reading from a pipe: got %d bytes, %v, raw connection %v, want 1, nil, nil", n, err, c.RawConn())
	}
	go func() { _, _ = c.Write([]byte("y")) }()
	if n, err := b.Read(p); n != 1 || err != nil {
		t.Errorf("reading what was written to a pipe: got %d bytes, %v, want 1, nil", n, err)
	}
	a.Close()
	b.Close()
}

// TestAPeerThatTakesNothingIsGivenUp writes what the kernel accepts at once. A read waits for the peer.
func TestAPeerThatTakesNothingIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, raw := range []bool{false, true} {
		c, peer := pair(t, "tcp")
		c = New(c.Conn, raw)
		c.GiveUpAfter(100 * time.Millisecond)
		if err := errors.Join(peer.(*net.TCPConn).SetReadBuffer(4<<10), c.Conn.(*net.TCPConn).SetWriteBuffer(1<<20)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(make([]byte, 128<<10)); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("raw calls %v: reading from a peer that takes nothing: got the error %v, want %v", raw, err, syscall.ETIMEDOUT)
		}
	}
}
