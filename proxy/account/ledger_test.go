package account

import (
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// memoryPools returns a table with two pools whose units are memory, and one whose units are
// not.
func memoryPools() (table *Table, small, large, none *Pool) {
	table = NewTable()
	small = table.NewPool(Options{Name: "small", Bytes: 1, Total: 10_000})
	large = table.NewPool(Options{Name: "large", Bytes: 10, Total: 10_000})
	none = table.NewPool(Options{Name: "none", Total: 10_000})
	return table, small, large, none
}

func TestWhoHoldsLittleMayHaveMoreWhileMemoryIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, small, large, none := memoryPools()
		ledger := table.NewLedger()
		alone := client(table, 0, 0)
		if !ledger.Modest(alone) {
			t.Error("an account that holds nothing: got not modest, want modest")
		}
		hold(t, none, alone, 100, Busy)
		if !ledger.Modest(alone) {
			t.Error("an account that holds units that are no memory: got not modest, want modest")
		}
		hold(t, large, alone, 50, Busy) // 500 bytes
		hold(t, small, alone, 500, Busy)
		pass(surveyEvery)
		if ledger.Modest(alone) {
			t.Error("an account that holds everything: got modest, want not modest")
		}
		// A neighbor's share is a half of what their network has of two parts.
		neighbor := client(table, 0, 1)
		hold(t, small, neighbor, 100, Busy)
		pass(surveyEvery)
		if !ledger.Modest(neighbor) || ledger.Modest(alone) {
			t.Errorf("100 bytes beside 1,000 of the same network: got modest %v and %v, want true and false", ledger.Modest(neighbor), ledger.Modest(alone))
		}
		// Many in one network do not get the share of another.
		var crowd []*Account
		for i := range 50 {
			crowd = append(crowd, client(table, 1, i))
			hold(t, small, crowd[i], 60, Busy) // 3,000 bytes together
		}
		pass(surveyEvery)
		if ledger.Modest(crowd[0]) || !ledger.Modest(neighbor) {
			t.Errorf("one of 50 accounts with 60 bytes each, beside 100 bytes in another network: got modest %v and %v, want false and true", ledger.Modest(crowd[0]), ledger.Modest(neighbor))
		}
		if held := ledger.Held(); held != 4100 {
			t.Errorf("all hold %d bytes, want 4,100", held)
		}
		if top := ledger.Top(2); len(top) != 2 || top[0].Account != alone.String() || top[0].Bytes != 1000 || top[1].Bytes != 100 {
			t.Errorf("the largest two: got %+v, want %s with 1,000 bytes and one with 100", top, alone)
		}
	})
}

func TestMemoryIsTakenBackFromAccountsAboveTheirShareInTheOrderOfTheirClasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, small, large, _ := memoryPools()
		ledger := table.NewLedger()
		flood, known, modest := client(table, 0, 0), client(table, 1, 0), client(table, 2, 0)
		known.Proved()
		silent, busy := hold(t, small, flood, 100, Silent), hold(t, large, flood, 100, Busy)
		slow, watching := hold(t, large, flood, 60, Slow), hold(t, large, flood, 40, Watching)
		fleet := hold(t, large, known, 200, Watching)
		own := hold(t, small, modest, 50, Slow)
		// They hold 2,100, 2,000 and 50 bytes. What is taken makes the shares smaller.
		for _, step := range []struct {
			bytes int64
			want  [4]int
		}{
			{50, [4]int{50}}, {50, [4]int{50}}, {1000, [4]int{0, 60, 5, 35}}, {1000, [4]int{0, 0, 34, 64}},
		} {
			revoked := func() [4]int {
				return [4]int{revokedOf(silent), revokedOf(slow), revokedOf(watching), revokedOf(fleet)}
			}
			before := revoked()
			ledger.Reclaim(step.bytes)
			got := revoked()
			for i := range got {
				got[i] -= before[i]
			}
			if got != step.want {
				t.Errorf("%d bytes were wanted: got %v holders of the flood that were silent, slow and watching, and of the known fleet, want %v", step.bytes, got, step.want)
			}
			synctest.Wait() // for the holders to release
		}
		if n := revokedOf(busy) + revokedOf(own); n != 0 {
			t.Errorf("%d holders were revoked that are busy, or whose account is below its share; want none", n)
		}
	})
}

// TestReclaimingMemoryEndsAtTheSharesAndAtWhatIsWanted draws what accounts hold.
func TestReclaimingMemoryEndsAtTheSharesAndAtWhatIsWanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, small, large, _ := memoryPools()
		ledger := table.NewLedger()
		holders := make(map[*Account][]*fakeHolder)
		for i := range rapid.IntRange(1, 6).Draw(t, "accounts") {
			a := client(table, i%3, i)
			for _, p := range []*Pool{small, large} {
				class := Class(rapid.IntRange(int(Slow), int(Busy)).Draw(t, "class"))
				holders[a] = append(holders[a], hold(t, p, a, rapid.IntRange(0, 30).Draw(t, "units"), class)...)
			}
		}
		above, _ := ledger.creditors()
		excess := make(map[*Account]int64)
		for _, c := range above {
			excess[c.account] = c.excess
		}
		wanted := rapid.Int64Range(1, 500).Draw(t, "bytes")
		taken := ledger.Reclaim(wanted)
		sum := int64(0)
		for a, all := range holders {
			of := int64(0)
			for _, h := range all {
				if h.wasRevoked() {
					of += h.pool.bytes
				}
			}
			if of >= excess[a]+large.bytes {
				t.Fatalf("an account that is %d bytes above its share lost %d, want at most one holder more", excess[a], of)
			}
			sum += of
		}
		if sum != taken || taken >= wanted+large.bytes {
			t.Fatalf("%d bytes were wanted: got %d reported and %d taken, want as many, and at most one holder too much", wanted, taken, sum)
		}
	})
}
