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

// pair is a connection of ours and its peer, over TCP or a Unix socket.
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
			t.Errorf("%s: %d bytes of %d, %v", network, len(got), len(sent), err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		c, peer = pair(t, network)
		go func() {
			_, err := peer.Write(sent)
			done <- errors.Join(err, peer.Close())
		}()
		got, err = io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%s: %d bytes of %d, %v", network, len(got), len(sent), err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestErrorsAreThoseOfPackageNet(t *testing.T) {
	temporary := func(err error) bool {
		var e interface{ Temporary() bool } // crypto/tls goes on after these alone
		return errors.As(err, &e) && e.Temporary()
	}
	c, peer := pair(t, "tcp")
	if err := c.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !temporary(err) {
		t.Errorf("reading too late: %d, %v", n, err)
	}
	if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !temporary(err) {
		t.Errorf("writing too late: %d, %v", n, err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("waiting too long for the peer: %v", err)
	}
	large := make([]byte, 64<<20)
	if err := c.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Write(large); n == 0 || n == len(large) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a peer that takes little: %d, %v", n, err)
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
		t.Errorf("after a reset: %d, %v", n, err)
	}
	if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("after a reset: %d, %v", n, err)
	}
	c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	c, peer = pair(t, "tcp")
	peer.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
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
			t.Error("it read something")
		}
	}
}

func TestWhatIsNoSocketIsReadAndWrittenAsBefore(t *testing.T) {
	a, b := net.Pipe()
	c := New(a, true)
	go func() { _, _ = b.Write([]byte("x")) }()
	p := make([]byte, 2)
	if n, err := c.Read(p); n != 1 || err != nil || c.RawConn() != nil {
		t.Errorf("%d, %v", n, err)
	}
	go func() { _, _ = c.Write([]byte("y")) }()
	if n, err := b.Read(p); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	a.Close()
	b.Close()
}
