package space

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/v2v3/rpc"
)

func TestWritesCountUntilTheyAreMeasured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s Space
		log := slog.New(slog.DiscardHandler)
		used := func(want int64) {
			t.Helper()
			if got := s.Fill(time.Now()); got.Used != want {
				t.Errorf("got %d bytes in use, want %d", got.Used, want)
			}
		}
		measure := func(inUse int64) { s.Measured(rpc.Size{InUse: inUse, Quota: 3200}, time.Now(), log) }
		pass := func(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // the clock is the bubble's: nothing waits
		if s.Begin(10) || s.Fill(time.Now()).Room() != ForAll {
			t.Error("before anything was measured: something is known")
		}
		measure(100)
		used(110) // it is under way
		s.End(10, true)
		used(110)
		pass(commitLag - 1)
		measure(105)
		used(115) // etcd may not count it yet
		pass(1)
		measure(110)
		used(120)
		pass(commitLag)
		measure(110)
		used(110)
		if s.Begin(100) {
			t.Error("100 bytes of 3200: another measurement is wanted")
		}
		s.End(100, false)
		used(110) // it was not executed
		if !s.Begin(101) {
			t.Error("101 bytes of 3200: no other measurement is wanted")
		}
		s.End(101, true)
		s.Begin(1400)
		pass(3 * time.Second)
		if got := s.Fill(time.Now()); got.Half != 3*time.Second || got.Used != 1611 {
			t.Errorf("more than a half for 3 s: got %+v", got)
		}
		s.End(1400, false)
		measure(1499)
		if got := s.Fill(time.Now()); got.Half != 0 || got.Used != 1600 {
			t.Errorf("a half: got %+v, want that it is not more", got)
		}
	})
}

func TestAFullStoreIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	log := slog.New(slog.NewTextHandler(&text, nil))
	var s Space
	s.Full(log)
	s.Full(log)
	s.Measured(rpc.Size{NoSpace: true}, time.Now(), log)
	s.Measured(rpc.Size{}, time.Now(), log)
	s.Measured(rpc.Size{}, time.Now(), log)
	if full, again := strings.Count(text.String(), "no space left"), strings.Count(text.String(), "space again"); full != 1 || again != 1 {
		t.Errorf("got the log\n%s\nwant one line that the store is full, and one that it is not any more", text.String())
	}
	if size, at := s.Size(); size.NoSpace || at.IsZero() {
		t.Errorf("got %+v at %v, want what was measured last", size, at)
	}
}
