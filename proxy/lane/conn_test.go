package lane

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"etcd-tlsproxy/proxy/proxytest"
)

// accepted returns both ends of a connection over loopback, and how often the server's was
// reported closed.
func accepted(t *testing.T) (client net.Conn, server *ClientConn, closed *atomic.Int64) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	raw, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	closed = &atomic.Int64{}
	server = NewClientConn(raw, true, func() { closed.Add(1) })
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server, closed
}

// countedTurns counts turns. Acquire fails with err.
type countedTurns struct {
	acquired, released int
	err                error
}

func (c *countedTurns) Acquire() error { c.acquired++; return c.err }
func (c *countedTurns) Release(bool)   { c.released++ }

func TestAConnectionGivesItsTurnBackWhileItWaitsForItsClient(t *testing.T) {
	client, server, closed := accepted(t)
	turns := &countedTurns{}
	server.TakeTurns(turns, FullRecord)
	_, _ = client.Write([]byte("ab"))
	p := make([]byte, 1)
	if n, err := server.Read(p); n != 1 || err != nil || turns.released != 1 || turns.acquired != 1 {
		t.Errorf("a read in turn: got %d, %v after %d releases and %d acquisitions; want 1, none after one of each", n, err, turns.released, turns.acquired)
	}
	turns.err = errors.New("no turn")
	if _, err := server.Read(p); !errors.Is(err, turns.err) {
		t.Errorf("a read whose turn does not come again: got the error %v, want %v", err, turns.err)
	}
	server.TakeTurns(nil, 0)
	_, _ = client.Write([]byte("c"))
	if n, err := server.Read(p); n != 1 || err != nil || p[0] != 'c' || turns.released != 2 {
		t.Errorf("a read without turns: got %d, %v, %q after %d releases; want 1, none, c after 2", n, err, p, turns.released)
	}
	client.Close()
	turns.err = nil
	server.TakeTurns(turns, FullRecord)
	if _, err := server.Read(p); !errors.Is(err, io.EOF) || turns.acquired != 2 {
		t.Errorf("a read behind the end, which needs no turn: got the error %v after %d acquisitions, want %v after 2", err, turns.acquired, io.EOF)
	}
	server.Close()
	if server.Close(); closed.Load() != 1 {
		t.Errorf("a connection that was closed twice: got %d reports, want 1", closed.Load())
	}
}

// crypto/tls answers some records of a client on its own, behind the deadline of the last answer.
func TestAHandshakeReceivesNoMoreThanItsFlightBetweenTwoAnswers(t *testing.T) {
	client, server, _ := accepted(t)
	server.TakeTurns(&countedTurns{}, 10)
	p := make([]byte, 6)
	for range 2 {
		if _, err := client.Write(make([]byte, 20)); err != nil {
			t.Fatal(err)
		}
		for received := 0; received < 10; {
			n, err := server.Read(p)
			if err != nil {
				t.Fatalf("after %d bytes of a flight of 10: %v", received, err)
			}
			if received += n; received > 10 {
				t.Fatalf("%d bytes were received, want 10 at most", received)
			}
		}
		if n, err := server.Read(p); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("behind a flight of 10 bytes: got %d more and the error %v, want %v", n, err, ErrTooLarge)
		}
		if _, err := server.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAShortRecordIsWrittenBehindTheDeadlineAndALongOneIsNot(t *testing.T) {
	for length, want := range map[int]error{1: nil, maxControl: nil, maxControl + 1: os.ErrDeadlineExceeded} {
		client, server, _ := accepted(t)
		if err := server.SetWriteDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		n, err := server.Write(make([]byte, length))
		if !errors.Is(err, want) && (err != nil || want != nil) || want == nil && n != length {
			t.Errorf("writing %d bytes behind the deadline: got %d, %v; want the error %v", length, n, err, want)
		}
		server.Close()
		if got, _ := io.ReadAll(client); want == nil && len(got) != length {
			t.Errorf("the client: got %d bytes, want %d", len(got), length)
		}
		if n, err := server.Write([]byte("x")); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("writing to a closed connection: got %d, %v; want an error", n, err)
		}
	}
}

func TestAClientThatDisconnectsEndsWhatWaitsForIt(t *testing.T) {
	client, server, _ := accepted(t)
	type key struct{}
	parent, end := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
	defer end(nil)
	p := NewPresence(parent, server)
	if p.Err() != nil || p.Value(key{}) != "value" {
		t.Errorf("a client that is there: got the error %v and the value %v, want none and that of the parent", p.Err(), p.Value(key{}))
	}
	done := p.Done()
	if p.Done() != done || p.Value(key{}) != "value" || p.Err() != nil {
		t.Errorf("while somebody waits: got another channel or the error %v, want the same and none", p.Err())
	}
	client.Close()
	<-done
	if p.Err() == nil || !errors.Is(context.Cause(&p), ErrGone) {
		t.Errorf("after the client has left: got the error %v because of %v, want one because of %v", p.Err(), context.Cause(&p), ErrGone)
	}
	p.Stop()
	if !errors.Is(p.Err(), context.Canceled) {
		t.Errorf("asked without a wait: got the error %v, want %v", p.Err(), context.Canceled)
	}
	p.Stop() // nothing is started
	_, stays, _ := accepted(t)
	q := NewPresence(parent, stays)
	waited := q.Done()
	q.Stop()
	<-waited
	if q.Err() != nil {
		t.Errorf("after a wait was stopped: got the error %v, want none", q.Err())
	}
	end(errDraining)
	if !errors.Is(q.Err(), context.Canceled) {
		t.Errorf("after its parent has ended: got the error %v, want %v", q.Err(), context.Canceled)
	}
	<-q.Done()
	q.Stop()
}

// pausingConn is a connection whose client sends pieces, each after a pause.
type pausingConn struct {
	net.Conn
	pause, until time.Duration // of the whole time
	start        time.Time
	deadline     time.Time
	piece        int
	reads        []int
	halfClosed   bool
}

func (c *pausingConn) CloseWrite() error { c.halfClosed = true; return nil }

func (c *pausingConn) SetReadDeadline(at time.Time) error { c.deadline = at; return nil }

func (c *pausingConn) Read(p []byte) (int, error) {
	c.reads = append(c.reads, len(p))
	if time.Since(c.start) >= c.until {
		return 0, io.EOF
	}
	if left := time.Until(c.deadline); left < c.pause {
		time.Sleep(left) //nolint:forbidigo // the clock is the bubble's: nothing waits
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(c.pause) //nolint:forbidigo // the clock is the bubble's: nothing waits
	return min(len(p), c.piece), nil
}

func TestAClosedConnectionLingersForItsClientWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for what, c := range map[string]struct {
			pause, until time.Duration
			want         time.Duration
		}{
			"a client that closes its side":        {100 * time.Millisecond, 300 * time.Millisecond, 300 * time.Millisecond},
			"a client that pauses for too long":    {501 * time.Millisecond, time.Hour, LingerTimeout},
			"a client that sends without an end":   {500 * time.Millisecond, time.Hour, 5 * time.Second},
			"a client that sends slowly, too long": {400 * time.Millisecond, time.Hour, 5 * time.Second},
		} {
			conn := &pausingConn{pause: c.pause, until: c.until, start: time.Now(), piece: 64}
			Linger(conn)
			if got := time.Since(conn.start); got != c.want || !conn.halfClosed {
				t.Errorf("%s: got %v and the sending side closed: %t, want %v and true", what, got, conn.halfClosed, c.want)
			}
			if len(conn.reads) > 1 && conn.reads[0] != 64 || len(conn.reads) > 2 && (conn.reads[1] != LingerUnit || conn.reads[2] != LingerUnit) {
				t.Errorf("%s: got reads of %v bytes, want one of 64 and then %d", what, conn.reads, LingerUnit)
			}
		}
	})
}

func TestAClientThatSendsLittleBehindItsAnswerNeedsNoLargeBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &pausingConn{pause: 400 * time.Millisecond, until: time.Hour, start: time.Now(), piece: 63}
		Linger(conn)
		for i, n := range conn.reads {
			if n != 64 {
				t.Errorf("read %d behind reads of 63 bytes: got a buffer of %d, want 64", i+1, n)
			}
		}
	})
}

func TestTheAddressOfAClientIsThatWhichItsLoadBalancerNamed(t *testing.T) {
	client, server, _ := accepted(t)
	if got := server.RemoteAddr().String(); got != client.LocalAddr().String() {
		t.Errorf("without a load balancer: got %s, want the peer's address, %s", got, client.LocalAddr())
	}
	server.SetClient(netip.MustParseAddrPort("192.0.2.7:1234"))
	if got := server.RemoteAddr().String(); got != "192.0.2.7:1234" {
		t.Errorf("behind a load balancer: got %s, want the address that it named", got)
	}
}

// tlsPair returns both ends of a TLS connection after the handshake.
func tlsPair(t *testing.T) (client, server *tls.Conn, closed *atomic.Int64) {
	t.Helper()
	raw, wire, closed := accepted(t)
	client, server = handshake(t, raw, wire)
	return client, server, closed
}

// handshake returns both ends of TLS above a connection.
func handshake(t *testing.T, raw net.Conn, wire *ClientConn) (client, server *tls.Conn) {
	t.Helper()
	return handshakeWith(t, raw, wire, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test is not about certificates
}

func handshakeWith(t *testing.T, raw net.Conn, wire *ClientConn, config *tls.Config) (client, server *tls.Conn) {
	t.Helper()
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	client, server = tls.Client(raw, config), tls.Server(wire, &tls.Config{Certificates: []tls.Certificate{pair}})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := errors.Join(server.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestAnAnswerReachesAClientThatStillSends(t *testing.T) {
	client, server, closed := tlsPair(t)
	if Wire(server) != server.NetConn() {
		t.Error("the connection below TLS: got another one")
	}
	got := make(chan []byte)
	go func() {
		_, _ = client.Write(bytes.Repeat([]byte("x"), 100_000)) // nobody reads it before the end
		answer, _ := io.ReadAll(client)
		client.Close()
		got <- answer
	}()
	_, _ = server.Write([]byte("answer"))
	if err := Finish(server); err != nil || closed.Load() != 1 {
		t.Errorf("finishing: got the error %v and %d reports of the end, want none and 1", err, closed.Load())
	}
	if answer := <-got; string(answer) != "answer" {
		t.Errorf("the client that still sends: got %q, want the whole answer", answer)
	}
}

func TestCutClosesAConnectionWithItsEndOfTLS(t *testing.T) {
	client, server, closed := tlsPair(t)
	Cut(server)
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || closed.Load() != 1 {
		t.Errorf("the client of a connection that was cut: got the error %v, want %v, the end that TLS announces", err, io.EOF)
	}
}

func TestTheKernelGivesAClientUpThatTakesNothing(t *testing.T) {
	_, server, _ := accepted(t)
	var got int
	var err error
	if controlErr := server.RawConn().Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	if want := int(maxUntaken.Milliseconds()); got != want {
		t.Errorf("got a timeout of %d ms, want %d", got, want)
	}
}
