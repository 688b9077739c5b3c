package fast

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// armed is a connection whose client has left. It keeps its last read deadline.
type armed struct {
	net.Conn
	read *time.Time // nil if it was not set
}

func (a *armed) SetReadDeadline(t time.Time) error { a.read = &t; return nil }
func (a *armed) SetDeadline(time.Time) error       { return nil }
func (a *armed) Read([]byte) (int, error)          { return 0, io.EOF }

// after returns how long from now the deadline is, or 0 if none was set.
func (a *armed) after() time.Duration {
	if a.read == nil {
		return 0
	}
	return time.Until(*a.read)
}

const headTime, idleTime = 10 * time.Second, time.Hour

// newArmed returns a connection that nobody serves.
func newArmed() (*conn, *armed) {
	wire := &armed{}
	x := &lane.Exchange{Current: &lane.Current{}}
	x.Current.Publish(&lane.Snapshot{Limits: lane.Limits{HeaderTimeout: headTime, BodyTimeout: 2 * headTime}})
	l := &Lane{Exchange: x, Conns: &lane.Conns{}, IdleTimeout: idleTime}
	return newConn(l, tls.Server(lane.NewClientConn(wire, false, func() {}), nil), seed.Peer()), wire
}

func TestTheWaitForARequestHasTheTimeOfItsKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for what, test := range map[string]struct {
			first, draining, closing bool
			header                   time.Duration // of the limits
			want                     time.Duration // 0 if there is no wait
		}{
			"the first request":                      {first: true, header: headTime, want: headTime},
			"the next request":                       {header: headTime, want: idleTime},
			"the first request of a drain":           {first: true, draining: true, header: headTime, want: lane.DrainGrace},
			"the first request of a drain, in haste": {first: true, draining: true, header: lane.DrainGrace / 2, want: lane.DrainGrace / 2},
			"the next request of a drain":            {draining: true, header: headTime},
			"a request when the connection ends":     {closing: true, header: headTime},
		} {
			c, wire := newArmed()
			c.currentLimits().HeaderTimeout = test.header
			c.closing = test.closing
			if test.draining {
				c.Conns.StartDrain()
			}
			if c.waitForRequest(test.first) || wire.after() != test.want {
				t.Errorf("%s: got a limit of %v, want %v", what, wire.after(), test.want)
			}
			if c.idle {
				t.Errorf("%s: the connection is idle behind its end", what)
			}
		}
		// The deadline need not be set again for each request, but soon enough.
		c, wire := newArmed()
		c.waitForRequest(false)
		time.Sleep(idleTime / deadlineSlack) //nolint:forbidigo // of synctest
		c.waitForRequest(false)
		if want := idleTime - idleTime/deadlineSlack; wire.after() != want {
			t.Errorf("a request a little later: got a limit of %v, want %v", wire.after(), want)
		}
		time.Sleep(1) //nolint:forbidigo,staticcheck // of synctest
		if c.waitForRequest(false); wire.after() != idleTime {
			t.Errorf("a request after that: got a limit of %v, want %v", wire.after(), idleTime)
		}
	})
}

func TestOnlyAConnectionThatWaitsForARequestIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for what, test := range map[string]struct {
			idle, served, closing, draining bool
			want                            bool
			after                           time.Duration // until its read ends; 0 if that stays
		}{
			"an idle connection":                       {idle: true, served: true, want: true, after: -1},
			"one that has had no request":              {idle: true, want: true, after: -1},
			"one that has had no request, in a drain":  {idle: true, draining: true, after: lane.DrainGrace},
			"an idle connection, in a drain":           {idle: true, served: true, draining: true, want: true, after: -1},
			"a connection with a request":              {served: true},
			"a connection with a request, in a drain":  {served: true, draining: true},
			"a connection with its first request":      {draining: true},
			"a connection that ends":                   {idle: true, served: true, closing: true},
			"a connection that ends, in a drain":       {idle: true, closing: true, draining: true},
			"a connection that ends after its request": {served: true, closing: true},
		} {
			c, wire := newArmed()
			c.idle, c.served, c.closing = test.idle, test.served, test.closing
			if test.draining {
				c.Conns.StartDrain()
			}
			got := c.CloseIfIdle()
			after := wire.after()
			if after < 0 {
				after = -1
			}
			if got != test.want || after != test.after || c.closing != (test.closing || test.want) {
				t.Errorf("%s: got closed %t, the end of its read after %v and that it ends %t; want %t and %v", what, got, after, c.closing, test.want, test.after)
			}
		}
	})
}

func TestTheClassOfAConnectionIsWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const moment, long = 200 * time.Millisecond, lane.StalledAfter + 1
		for what, test := range map[string]struct {
			set   func(*conn)
			pause time.Duration
			want  account.Class
		}{
			"nothing":                  {func(*conn) {}, long, account.Busy},
			"a request":                {func(c *conn) { c.idle = true }, long, account.Silent},
			"its end":                  {func(c *conn) { c.idle, c.closing = true, true }, long, account.Busy},
			"the end of its client":    {func(c *conn) { c.lingering = true }, 0, account.Stalled},
			"the rest of a head":       {func(c *conn) { c.setPartial(time.Now()) }, lane.StalledAfter, account.Busy},
			"it for too long":          {func(c *conn) { c.setPartial(time.Now()) }, long, account.Stalled},
			"a turn":                   {func(c *conn) { c.Queued(func() {}) }, moment - 1, account.Busy},
			"a turn for some time":     {func(c *conn) { c.Queued(func() {}) }, moment, account.Slow},
			"an event":                 {func(c *conn) { c.watch = &watch{state: waiting} }, long, account.Watching},
			"an event, before it":      {func(c *conn) { c.watch = &watch{state: deferred} }, long, account.Watching},
			"its client for its event": {func(c *conn) { c.watch = &watch{state: flushing} }, long, account.Busy},
		} {
			c, _ := newArmed()
			test.set(c)
			time.Sleep(test.pause) //nolint:forbidigo // of synctest
			if got := c.Class(); got != test.want {
				t.Errorf("a connection that waits for %s: got the class %v, want %v", what, got, test.want)
			}
		}
	})
}

func TestARequestThatIsTakenBackInItsTurnEndsOnlyItsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newArmed()
		left := 0
		c.Queued(func() { left++ })
		time.Sleep(time.Second) //nolint:forbidigo // of synctest
		if c.CutIf(account.Busy) || !c.CutIf(account.Slow) || left != 1 || !c.closing {
			t.Errorf("got %d ends of the wait and the end of the connection %t, want 1 and true, which its refusal tells", left, c.closing)
		}
	})
}

func TestBehindItsEventAClientMayBeSilentAsLongAsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for what, test := range map[string]struct {
			state             watchState
			closing, draining bool
			want              time.Duration
		}{
			"before the event":                  {state: waiting, want: idleTime},
			"before the event, in a drain":      {state: waiting, draining: true, want: idleTime},
			"behind the event":                  {state: done, want: idleTime - time.Minute},
			"behind the event, in a drain":      {state: done, draining: true},
			"behind the event, when it ends":    {state: done, closing: true},
			"behind an event that it has not":   {state: failed},
			"while a part of the event is sent": {state: flushing, want: idleTime - time.Minute},
		} {
			c, _ := newArmed()
			c.closing = test.closing
			if test.draining {
				c.Conns.StartDrain()
			}
			w := &watch{c: c, state: test.state, writtenAt: time.Now()}
			time.Sleep(time.Minute) //nolint:forbidigo // of synctest
			if got := w.remaining(); got != test.want {
				t.Errorf("%s: got %v, want %v", what, got, test.want)
			}
		}
	})
}

func TestTheBuffersOfALargeRequestAreNotKeptForTheNext(t *testing.T) {
	for size, want := range map[int]int{inSize: inSize, 4 * inSize: 4 * inSize, 4*inSize + 1: inSize} {
		c, _ := newArmed()
		c.have = 1
		c.getBuffers()
		b := c.buffers
		b.in = make([]byte, size)
		b.request = http1.Request{Target: "/secret", Fields: make([]http1.Field, 3)}
		b.call.Authorization = "Basic secret"
		c.putBuffers()
		if len(b.in) != want || b.request.Target != "" || len(b.request.Fields) != 0 || b.call.Authorization != "" {
			t.Errorf("after a request of %d bytes: got a buffer of %d with the target %q and the password %q, want %d and nothing of the client", size, len(b.in), b.request.Target, b.call.Authorization, want)
		}
		if c.buffers != nil || c.have != 0 {
			t.Error("the connection still has the buffers")
		}
		b.in = make([]byte, inSize)
	}
}
