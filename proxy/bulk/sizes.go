package bulk

import (
	"hash/maphash"
	"sync/atomic"

	"etcd-tlsproxy/proxy/account"
)

// sizes remembers the sizes of large answers and of small trees, in units. It has a fixed size and no locks. A new
// answer may replace another one, which is then unknown. The seed keeps clients from choosing
// which.
type sizes struct {
	seed maphash.Seed
	// sets holds words with the tag of an answer in the upper bits, and its units in the lower
	// ones. 0 is free.
	sets [numSets][setSize]atomic.Uint64
	// used has a bit for each set that has ever held a word. Usually few have, and these bits are in the
	// processor's cache where the sets are not.
	used [numSets / 64]atomic.Uint64
}

const (
	numSets = 1 << 11
	setSize = 4

	unitBits = 16
	maxUnits = 1<<unitBits - 1 // 4 GiB
)

// hashOf returns the name of an answer. It is never 0.
func (s *sizes) hashOf(path string, tree bool) uint64 {
	hash := maphash.String(s.seed, path)
	if tree {
		hash = ^hash
	}
	return hash | 1<<unitBits // a tag of 0 would be free
}

// units returns the units of an answer, or 0 if they are not known.
func (s *sizes) units(hash uint64) int64 {
	at := hash % numSets
	if s.used[at/64].Load()&(1<<(at%64)) == 0 {
		return 0
	}
	set := &s.sets[at]
	for i := range set {
		if word := set[i].Load(); word>>unitBits == hash>>unitBits {
			return int64(word & maxUnits)
		}
	}
	return 0
}

// note remembers the units of an answer; 0 forgets it. If there is no place, a large answer
// replaces the smallest one, and a small one only another small one: otherwise a client could
// make large answers forgotten by reads that cost nothing. An answer that others note at the
// same time may be lost or remembered twice, until it is noted again.
func (s *sizes) note(hash uint64, units int64) {
	word := uint64(0)
	if units > 0 {
		word = hash&^maxUnits | uint64(min(units, maxUnits))
	}
	set := &s.sets[hash%numSets]
	place := int(hash / numSets % setSize)
	for i := range set {
		old := set[i].Load()
		if old>>unitBits == hash>>unitBits {
			if old != word {
				set[i].CompareAndSwap(old, word)
			}
			return
		}
		if old&maxUnits < set[place].Load()&maxUnits {
			place = i
		}
	}
	if word != 0 && (units > 1 || set[place].Load()&maxUnits <= 1) {
		set[place].Store(word)
		at := hash % numSets
		s.used[at/64].Or(1 << (at % 64))
	}
}

// Known returns the claim of a read whose answer has at most so many bytes.
func (l *Limits) Known(a *account.Account, size int64, tree bool) Claim {
	if l == nil {
		return Claim{}
	}
	c := Claim{limits: l, bytes: l.Bytes, account: a, tree: tree}
	c.units = c.unitsOf(size)
	return c
}

// unitsOf returns the units of an answer of so many bytes.
func (c *Claim) unitsOf(size int64) int64 {
	units := (size + Unit - 1) / Unit
	switch {
	case c.tree:
		return max(units, 1) // that it is small is worth remembering
	case units == 1:
		return 0
	}
	return units
}
