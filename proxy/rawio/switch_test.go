package rawio

import (
	"bytes"
	"io"
	"syscall"
	"testing"
)

func TestBothPositionsOfTheSwitchCarryTheSameBytes(t *testing.T) {
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for _, raw := range []bool{true, false} {
		inner, peer := pair(t, "tcp")
		c := NewCorked(New(inner.Conn, raw))
		if c.Raw() != raw {
			t.Errorf("New(c, %v): got Raw() = %v", raw, c.Raw())
		}
		done := make(chan error, 1)
		go func() {
			started, complete, err := c.TryWrite(func() error { _, err := c.Write(sent); return err })
			if !started || complete || !c.Blocked() {
				t.Errorf("raw %v: TryWrite of 1 MiB: got started %v, complete %v, want true, false", raw, started, complete)
			}
			if err == nil {
				err = c.Uncork()
			}
			if err == nil {
				err = c.CloseWrite()
			}
			done <- err
		}()
		got, err := io.ReadAll(peer)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("raw %v: got %d bytes, %v, want the %d bytes sent", raw, len(got), err, len(sent))
		}
		if err := <-done; err != nil {
			t.Errorf("raw %v: writing: %v", raw, err)
		}
	}
}

func TestASocketInBlockingModeIsServedThroughPackageNet(t *testing.T) {
	c, _ := pair(t, "tcp")
	set := func(nonblocking bool) {
		t.Helper()
		var callErr error
		if err := c.RawConn().Control(func(fd uintptr) { callErr = syscall.SetNonblock(int(fd), nonblocking) }); err != nil || callErr != nil {
			t.Fatal(err, callErr)
		}
	}
	set(false)
	if New(c.Conn, true).Raw() {
		t.Error("New of a blocking socket: got Raw() = true, want false")
	}
	set(true)
	if !New(c.Conn, true).Raw() {
		t.Error("New of a non-blocking socket: got Raw() = false, want true")
	}
}
