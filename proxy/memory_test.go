package proxy

import (
	"runtime"
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
