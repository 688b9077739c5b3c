package proxy

import (
	"runtime"
	"slices"
	"testing"

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
