package changeover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

// TestADeadEndpointDelaysNothingForLong has a first endpoint at which nothing listens.
func TestADeadEndpointDelaysNothingForLong(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.proxy(func(o *Options) {
		o.Endpoints = append([]rpc.Endpoint{{Addr: "127.0.0.1:1"}}, o.Endpoints...)
		o.maxHold = 20 * time.Second
	})
	w := f.admitted(m)
	defer w.Done()
	if err := w.Confirm(f.context()); err != nil {
		t.Errorf("a write at the second endpoint: got %v, want it confirmed", err)
	}
}

// TestAnIdleMemberIsKept follows the description at an etcd to which nobody writes, for longer than a member may be
// silent.
func TestAnIdleMemberIsKept(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.proxy(nil)
	f.admitted(m).Done()
	for ctx := f.context(); m.line.answers.Load() < 2+int64(maxSilence/heartbeat); {
		if !rpc.Pause(ctx) {
			t.Fatalf("an idle member has answered %d times until it was left", m.line.answers.Load())
		}
	}
}

// TestAMemberThatAnswersNothingGetsMoreTime also has one that has answered, and is dead then.
func TestAMemberThatAnswersNothingGetsMoreTime(t *testing.T) {
	t.Parallel()
	var l line
	silent := fmt.Errorf("%w for 4s", errSilent)
	for _, want := range []time.Duration{maxSilence, 2 * maxSilence, longSilence, longSilence} {
		if l.begin(); l.silence != want {
			t.Errorf("got %s, want %s", l.silence, want)
		}
		l.hear()
		l.ended(silent)
	}
	l.begin()
	l.hear()
	l.hear()
	l.ended(silent)
	if l.begin(); l.silence != maxSilence {
		t.Errorf("after an answer: got %s, want %s", l.silence, maxSilence)
	}
}

// TestAnEndpointThatHangsIsLeft has an endpoint that accepts connections and says nothing.
func TestAnEndpointThatHangsIsLeft(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	m := f.proxy(func(o *Options) {
		o.Endpoints = append([]rpc.Endpoint{{Addr: silent.Addr().String()}}, o.Endpoints...)
		o.maxHold = 20 * time.Second
	})
	f.admitted(m).Done()
}

// TestAWatchThatDoesNotOpenIsGivenUp has a member that can be connected to, and allows no streams.
func TestAWatchThatDoesNotOpenIsGivenUp(t *testing.T) {
	t.Parallel()
	member, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer member.Close()
	serving.Go(func() {
		conn, err := member.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		// SETTINGS_MAX_CONCURRENT_STREAMS is 0.
		_, _ = conn.Write([]byte{0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0})
		_, _ = io.Copy(io.Discard, conn)
	})
	client, err := rpc.New([]rpc.Endpoint{{Addr: member.Addr().String()}}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p := &Proxy{client: client, keys: "p"}
	within, done := context.WithTimeout(t.Context(), 20*time.Second)
	defer done()
	ctx, cancel := context.WithCancelCause(within)
	defer cancel(nil)
	if _, err := p.watch(ctx, cancel, 1); err == nil || !errors.Is(context.Cause(ctx), errSilent) {
		t.Errorf("got the error %v because of %v, want it because of %v", err, context.Cause(ctx), errSilent)
	}
}

// TestWhatIsNotHeardForLongIsNotKnown lets the description not be followed for longer than reads may rely on it.
func TestWhatIsNotHeardForLongIsNotKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var stale atomic.Int64
		p := &Proxy{o: Options{Stale: func() { stale.Add(1) }}, changed: make(chan struct{})}
		p.known.Store(true)
		p.lose(errSilent)
		advance(maxStale - 1)
		p.lose(errSilent) // at the next endpoint
		if !p.Known() || stale.Load() != 0 {
			t.Error("before the time is over: it is not known any more who takes writes")
		}
		advance(1)
		if p.Known() || stale.Load() != 1 {
			t.Errorf("after %s: known %t, and watches were broken off %d times; want neither, and once", maxStale, p.Known(), stale.Load())
		}
		p.forget()
		if !p.Known() {
			t.Error("followed again: it is still not known who takes writes")
		}
		p.o.ServeStale = true
		p.lose(errSilent)
		advance(time.Hour)
		if !p.Known() {
			t.Error("with stale reads: it is not known any more who takes writes")
		}
	})
}

// TestATimerThatFiresTooLateMakesNothingStale has the time be over just when the description is followed again.
func TestATimerThatFiresTooLateMakesNothingStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &Proxy{changed: make(chan struct{}), o: Options{Stale: func() { t.Error("watches were broken off") }}}
		p.known.Store(true)
		p.lose(errSilent)
		fired := p.lost
		p.forget()
		p.expire(fired) // it was about to take the lock
		if !p.Known() {
			t.Error("followed again, and what is known is stale until the description is lost once more")
		}
	})
}

// TestADescriptionThatIsReadAgainAndAgainGetsStale has a session end whenever the description is read.
func TestADescriptionThatIsReadAgainAndAgainGetsStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &Proxy{changed: make(chan struct{})}
		p.known.Store(true)
		for range maxStale / time.Second {
			p.lose(errAgain)
			advance(time.Second)
		}
		if p.Known() {
			t.Errorf("after %s: it is still known who takes writes", maxStale)
		}
	})
}

// advance moves the clock of the synctest bubble.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the clock is the bubble's: nothing waits
	synctest.Wait()
}
