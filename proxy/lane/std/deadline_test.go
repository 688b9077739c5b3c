package std

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// armed is a connection that keeps its last read deadline.
type armed struct {
	net.Conn
	read *time.Time    // nil if it was not set
	fail error         // of SetReadDeadline
	ends chan struct{} // receives when it is closed
}

func (a *armed) Close() error { a.ends <- struct{}{}; return nil }

func (a *armed) SetReadDeadline(t time.Time) error { a.read = &t; return a.fail }

// below returns a connection of TLS above a.
func (a *armed) below() *tls.Conn {
	return tls.Server(lane.NewClientConn(a, false, func() {}), nil)
}

// after returns how long after start the deadline is, or -1 if none was set, or 0 for none.
func (a *armed) after(start time.Time) time.Duration {
	switch {
	case a.read == nil:
		return -1
	case a.read.IsZero():
		return 0
	}
	return a.read.Sub(start)
}

const headTime, bodyTime = 10 * time.Second, 20 * time.Second

func hastyLimits() *lane.Limits {
	return &lane.Limits{Head: 1 << 10, HeaderTimeout: headTime, BodyTimeout: bodyTime}
}

func TestAHeadOfHTTP1EndsByTheEarlierOfTwoDeadlines(t *testing.T) {
	start := time.Now()
	for what, test := range map[string]struct {
		begun  bool          // a head
		wanted time.Duration // by net/http, after start; 0 for none
		arm    time.Duration // what the next read has
		set    time.Duration // what net/http sets while a read waits; -1 if that changes nothing
	}{
		"no head and no deadline":           {false, 0, 0, 0},
		"no head":                           {false, time.Hour, time.Hour, time.Hour},
		"a head and no deadline":            {true, 0, headTime, -1},
		"a head and a later deadline":       {true, headTime + 1, headTime, -1},
		"a head and the same deadline":      {true, headTime, headTime, headTime},
		"a head and a deadline before that": {true, headTime - 1, headTime - 1, headTime - 1},
	} {
		wire := &armed{}
		c := newStrictConn(wire.below(), seed.Peer(), hastyLimits, func() bool { return false })
		c.began, c.silent = time.Time{}, false
		if test.begun {
			c.began = start
		}
		wanted := time.Time{}
		if test.wanted > 0 {
			wanted = start.Add(test.wanted)
		}
		err := c.SetReadDeadline(wanted)
		set := wire.after(start)
		if err = errors.Join(err, c.arm()); err != nil || set != test.set || wire.after(start) != test.arm {
			t.Errorf("%s: got the error %v, the deadlines %v at once and %v for the next read; want %v and %v", what, err, set, wire.after(start), test.set, test.arm)
		}
		c.pending, c.began, c.served = 0, time.Time{}, true
		if wire.read = nil; !c.CloseIfIdle() || wire.after(time.Now()) > -time.Hour {
			t.Errorf("%s, when the connection is closed between two requests: got the deadline %v, want one that has passed", what, wire.read)
		}
		wire.read = nil
		if err := c.SetReadDeadline(wanted); err != nil || wire.read != nil {
			t.Errorf("%s, once it was closed: got the error %v and the deadline %v, want none", what, err, wire.read)
		}
		if err := c.arm(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s, once it was closed: got the error %v for the next read, want %v", what, err, os.ErrDeadlineExceeded)
		}
	}
}

func TestWhatIsReceivedOnHTTP2HasTheTimeOfItsKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const settings, head, body = "\x00\x00\x06\x04\x00\x00\x00\x00\x00", "\x00\x00\x00\x01\x05\x00\x00\x00\x01", "\x00\x00\x09\x00\x00\x00\x00\x00\x01v"
		for what, test := range map[string]struct {
			received []string
			want     time.Duration // from the start of the last of them, or from the start; 0 for no limit
		}{
			"nothing":                           {nil, headTime},
			"the preface":                       {[]string{http2Preface}, headTime},
			"a frame before the first request":  {[]string{http2Preface, settings}, headTime},
			"a request":                         {[]string{http2Preface, head}, 0},
			"the start of the next frame":       {[]string{http2Preface + head, "\x00"}, headTime},
			"a frame without all of its bytes":  {[]string{http2Preface + head, settings}, headTime},
			"a frame of a body, not all of it":  {[]string{http2Preface + head, body}, bodyTime},
			"a head without all of its bytes":   {[]string{http2Preface + head, "\x00\x00\x09\x01\x04\x00\x00\x00\x03"}, headTime},
			"a head that goes on in the next":   {[]string{http2Preface + head, "\x00\x00\x00\x01\x00\x00\x00\x00\x03"}, headTime},
			"a head that has ended in the next": {[]string{http2Preface + head, "\x00\x00\x00\x01\x00\x00\x00\x00\x03", "\x00\x00\x00\x09\x04\x00\x00\x00\x03"}, 0},
		} {
			wire := &armed{}
			c := newHTTP2Conn(wire.below(), seed.Peer(), &lane.Conns{}, hastyLimits, nil)
			start := time.Now()
			for _, text := range test.received {
				time.Sleep(time.Second) //nolint:forbidigo // of synctest
				c.held = []byte(text)
				if n, err := c.Read(make([]byte, 100)); n != len(text) || err != nil {
					t.Fatalf("%s: got %d bytes and the error %v, want %d", what, n, err, len(text))
				}
				if c.frames.asked && text != head {
					start = time.Now()
				}
			}
			if what == "a head that has ended in the next" || what == "a request" {
				start = time.Now()
			}
			if err := c.armRead(); err != nil || max(0, wire.after(start)) != test.want {
				t.Errorf("behind %s: got the error %v and a limit of %v, want %v", what, err, wire.after(start), test.want)
			}
		}
	})
}

func TestAConnectionOfHTTP2EndsByTheEarlierOfTwoDeadlines(t *testing.T) {
	now := time.Now()
	for _, test := range []struct{ received, last, want time.Duration }{{0, 0, -1}, {50, 0, 50}, {0, 100, 100}, {50, 100, 50}, {100, 50, 50}} {
		at := func(after time.Duration) time.Time {
			if after == 0 {
				return time.Time{}
			}
			return now.Add(after)
		}
		wire := &armed{}
		c := newHTTP2Conn(wire.below(), seed.Peer(), &lane.Conns{}, hastyLimits, nil)
		c.deadline, c.last = at(test.received), at(test.last)
		if err := c.arm(); err != nil || wire.after(now) != test.want {
			t.Errorf("%v for what is received and %v for the rest: got %v and the error %v, want %v", test.received, test.last, wire.after(now), err, test.want)
		}
	}
}

func TestAConnectionWithoutADeadlineIsNotReadFrom(t *testing.T) {
	failure := errors.New("closed")
	wire := &armed{fail: failure}
	for what, read := range map[string]func([]byte) (int, error){
		"HTTP/1": newStrictConn(wire.below(), seed.Peer(), hastyLimits, func() bool { return false }).Read,
		"HTTP/2": newHTTP2Conn(wire.below(), seed.Peer(), &lane.Conns{}, hastyLimits, nil).Read,
	} {
		if n, err := read(make([]byte, 10)); n != 0 || !errors.Is(err, failure) {
			t.Errorf("%s: got %d bytes and the error %v, want none and %v", what, n, err, failure)
		}
	}
}

func TestAConnectionOfHTTP2IsClosedOnlyIfNoStreamIsOpenAndNotAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &armed{}
		c := newHTTP2Conn(wire.below(), seed.Peer(), &lane.Conns{}, hastyLimits, nil)
		if c.CloseIfIdle() {
			t.Error("a connection without a request was closed as if it were idle")
		}
		c.idle = true
		c.conns.StartDrain()
		if c.CloseIfIdle() {
			t.Error("a connection was closed while the server drains, want that net/http does so")
		}
		c.conns.StopDrain()
		if !c.CloseIfIdle() || wire.after(time.Now()) != lastFrame {
			t.Errorf("an idle connection: got a limit of %v, want %v", wire.after(time.Now()), lastFrame)
		}
		if c.CloseIfIdle() || c.Class() != account.Busy {
			t.Errorf("a connection that ends: got closed again, or the class %v, want %v", c.Class(), account.Busy)
		}
		// A request that arrives meanwhile is answered.
		c.setState(http.StateActive)
		if wire.after(time.Now()) != 0 {
			t.Errorf("with the last request: got a limit of %v, want none", wire.after(time.Now()))
		}
	})
}

func TestAConnectionOfHTTP2IsStuckOnceItsClientAcceptsNothingForTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &http2Conn{}
		if c.stuck() {
			t.Error("a connection without a write is stuck")
		}
		c.writing.Store(time.Now().UnixNano())
		time.Sleep(lane.StalledAfter) //nolint:forbidigo // of synctest
		if c.stuck() {
			t.Errorf("a write of %v is stuck", lane.StalledAfter)
		}
		time.Sleep(time.Nanosecond) //nolint:forbidigo // of synctest
		if !c.stuck() {
			t.Errorf("a write of more than %v is not stuck", lane.StalledAfter)
		}
	})
}
