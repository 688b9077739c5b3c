package proxy

import (
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/proxy/account"
)

func TestGarbageThatIsNotCollectedInTimeCountsBeyondTheLimit(t *testing.T) {
	m := &memory{limit: 100, ledger: account.NewTable().NewLedger(), publish: func(int) {}}
	for mapped, want := range map[uint64]int32{109: memoryFree, 110: memoryOut} {
		m.read = func() usage { return usage{live: 50, mapped: mapped} }
		if m.poll(); m.level.Load() != want {
			t.Errorf("with %d %% of the limit mapped: got level %d, want %d", mapped, m.level.Load(), want)
		}
	}
}

func TestACollectionIsAskedForWhenNoneComesByItself(t *testing.T) {
	before := readUsage().collections
	m := &memory{limit: 1, ledger: account.NewTable().NewLedger(), publish: func(int) {}}
	m.read = func() usage { return usage{live: 1} }
	for range maxPollsWithoutGC + 1 {
		m.poll()
	}
	if readUsage().collections == before {
		t.Errorf("after %d polls without a collection: got none, want one that was forced", maxPollsWithoutGC+1)
	}
}

func TestWhatIsNeededGrowsWithWhatIsHeld(t *testing.T) {
	runtime.GC()
	before := readUsage().live
	held := make([]byte, 64<<20)
	runtime.GC()
	if after := readUsage().live; after < before+32<<20 {
		t.Errorf("holding 64 MiB more: got a usage of %d bytes more, want at least 32 MiB", int64(after)-int64(before))
	}
	runtime.KeepAlive(held)
}

func TestASmallHeapIsCollectedRarely(t *testing.T) {
	const mib = 1 << 20
	var set []int
	m := &memory{limit: 1 << 30, ledger: account.NewTable().NewLedger(), publish: func(int) {}}
	m.setPace = func(percent int) int { set = append(set, percent); return 0 }
	for _, live := range []uint64{2 * mib, 3 * mib, 4 * mib, 12 * mib, 16 * mib, 17 * mib, 500 * mib, 4 * mib} {
		m.read = func() usage { return usage{live: live} }
		m.poll()
	}
	if want := []int{800, 400, 100, 400}; !slices.Equal(set, want) {
		t.Errorf("paces that were set: got %v, want %v", set, want)
	}
	m.limit, set = 64*mib, nil
	m.poll()
	if want := []int{200}; !slices.Equal(set, want) {
		t.Errorf("with a quarter of 64 MiB for the heap, 4 MiB of it live: got %v, want %v", set, want)
	}
}

func TestThePaceOfCollectionsThatTheOperatorHasSetIsKept(t *testing.T) {
	t.Setenv("GOGC", "50")
	m := newMemory(1<<30, func() usage { return usage{live: 1} }, account.NewTable().NewLedger(), func(int) {})
	if m.poll(); m.setPace != nil || m.pace != 0 {
		t.Errorf("with GOGC=50: got a pace of %d, want none to be set", m.pace)
	}
}

// slowLedger takes a while to take back what is wanted.
type slowLedger struct {
	ledger
	takes time.Duration
	calls int
}

func (l *slowLedger) Reclaim(bytes int64) int64 {
	l.calls++
	time.Sleep(l.takes) //nolint:forbidigo // the clock is the bubble's: nothing waits
	return 0
}

func TestTakingMemoryBackUsesAFifthOfTheTimeAtMost(t *testing.T) {
	for takes, want := range map[time.Duration]int{0: 20, 10 * time.Millisecond: 17, 50 * time.Millisecond: 4, 400 * time.Millisecond: 1} {
		synctest.Test(t, func(t *testing.T) {
			l := &slowLedger{takes: takes}
			m := &memory{limit: 100, ledger: l, publish: func(int) {}, read: func() usage { return usage{live: 90} }}
			for began := time.Now(); time.Since(began) < time.Second; {
				m.poll()
				time.Sleep(memoryPoll) //nolint:forbidigo // the clock is the bubble's: nothing waits
			}
			if l.calls != want {
				t.Errorf("a call takes %v: got %d in a second, want %d", takes, l.calls, want)
			}
		})
	}
}
