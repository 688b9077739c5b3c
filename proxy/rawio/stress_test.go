package rawio

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestStressStreamsAreExact runs conversations with slow readers, deadlines and closes
// at arbitrary moments, and compares each byte. Without the race detector it exercises
// the real raw calls. ETCD_TLSPROXY_TEST_STRESS=20s makes it longer.
func TestStressStreamsAreExact(t *testing.T) {
	duration := 2 * time.Second
	if text := os.Getenv("ETCD_TLSPROXY_TEST_STRESS"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("ETCD_TLSPROXY_TEST_STRESS=%q: got %v, want a duration as in 20s", text, err)
		}
	}
	end := time.Now().Add(duration)
	var workers sync.WaitGroup
	for id := range uint64(32) {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(id, 1))
			for time.Now().Before(end) && !t.Failed() {
				converse(t, random)
			}
		})
	}
	workers.Wait()
}

// converse sends streams in both directions of one connection, and closes it early
// one time in three.
func converse(t *testing.T, random *rand.Rand) {
	near, far := dialPair(t)
	defer near.Close()
	defer far.Close()
	size, closeAt := random.IntN(512<<10), -1
	if random.IntN(4) == 0 {
		_ = near.Conn.(*net.TCPConn).SetReadBuffer(4 << 10) // a slow reader
		size /= 16                                          // whose window opens again after 40 ms or more
	}
	if random.IntN(3) == 0 {
		closeAt = random.IntN(size + 1)
	}
	var ends sync.WaitGroup
	for i, c := range []*Conn{near, far} {
		sender, receiver := byte(i), byte(1-i)
		seeds := [2]uint64{random.Uint64(), random.Uint64()}
		ends.Go(func() {
			n, err := send(c, rand.New(rand.NewPCG(seeds[0], 2)), sender, size)
			if closeAt < 0 && (n != size || err != nil) {
				t.Errorf("sending: got %d bytes, %v, want %d, nil", n, err, size)
			}
		})
		ends.Go(func() {
			want := size
			if i == 0 && closeAt >= 0 {
				want = closeAt
			}
			n, err := receive(t, c, rand.New(rand.NewPCG(seeds[1], 3)), receiver, want)
			if closeAt < 0 && (n != size || err != nil) {
				t.Errorf("receiving: got %d bytes, %v, want %d, nil", n, err, size)
			}
			if i == 0 && closeAt >= 0 {
				_ = c.Close()
			}
		})
	}
	ends.Wait()
}

func dialPair(t *testing.T) (near, far *Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return New(c, true), New(peer, true)
}

// byteAt returns the byte of a sender's stream at an offset.
func byteAt(sender byte, offset int) byte {
	return sender ^ byte(offset*31) ^ byte(offset>>8) ^ byte(offset>>16)
}

func send(c *Conn, random *rand.Rand, sender byte, size int) (n int, err error) {
	p := make([]byte, 128<<10)
	for n < size {
		piece := p[:min(size-n, 1+random.IntN(len(p)))]
		for i := range piece {
			piece[i] = byteAt(sender, n+i)
		}
		deadline := time.Time{}
		if random.IntN(4) == 0 {
			deadline = time.Now().Add(time.Duration(random.IntN(200)) * time.Microsecond)
		}
		if err := c.SetWriteDeadline(deadline); err != nil {
			return n, err
		}
		m, err := c.Write(piece)
		n += m
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
	return n, nil
}

func receive(t *testing.T, c *Conn, random *rand.Rand, sender byte, size int) (n int, err error) {
	p := make([]byte, 32<<10)
	for n < size {
		deadline := time.Time{}
		if random.IntN(4) == 0 {
			deadline = time.Now().Add(time.Duration(random.IntN(200)) * time.Microsecond)
		}
		if err := c.SetReadDeadline(deadline); err != nil {
			return n, err
		}
		m, err := c.Read(p[:min(size-n, 1+random.IntN(len(p)))])
		for i := range m {
			if want := byteAt(sender, n+i); p[i] != want {
				t.Errorf("byte %d: got %#x, want %#x", n+i, p[i], want)
				return n, nil
			}
		}
		n += m
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
	return n, nil
}
