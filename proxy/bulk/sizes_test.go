package bulk

import "testing"

// named returns the hash of an answer in set 5, with a tag and its first choice of a place.
func named(tag, place uint64) uint64 { return tag<<16 | place<<11 | 5 }

// remembered returns the units that are remembered of each of the answers.
func (s *sizes) remembered(hashes ...uint64) (units [6]int64) {
	for i, hash := range hashes {
		units[i] = s.units(hash)
	}
	return units
}

func TestALargeAnswerReplacesTheSmallestAndASmallOneOnlyASmallOne(t *testing.T) {
	s := &sizes{}
	a, b, c, d, e, f := named(1, 0), named(2, 0), named(3, 0), named(4, 0), named(5, 3), named(6, 3)
	for _, step := range []struct {
		what  string
		hash  uint64
		units int64
		want  [6]int64
	}{
		{"nothing of an unknown answer", a, 0, [6]int64{}},
		{"a large one", a, 10, [6]int64{10}},
		{"the smallest", b, 2, [6]int64{10, 2}},
		{"one of middle size", c, 7, [6]int64{10, 2, 7}},
		{"the last that has room", d, 9, [6]int64{10, 2, 7, 9}},
		{"a small one without room", e, 1, [6]int64{10, 2, 7, 9}},
		{"another size of one that is known", c, 3, [6]int64{10, 2, 3, 9}},
		{"a large one without room", e, 5, [6]int64{10, 0, 3, 9, 5}},
		{"the next one", f, 4, [6]int64{10, 0, 0, 9, 5, 4}},
		{"that it is small", a, 1, [6]int64{1, 0, 0, 9, 5, 4}},
		{"a small one in place of a small one", b, 1, [6]int64{0, 1, 0, 9, 5, 4}},
		{"that one is forgotten", d, 0, [6]int64{0, 1, 0, 0, 5, 4}},
		{"what is forgotten twice", d, 0, [6]int64{0, 1, 0, 0, 5, 4}},
		{"one in the free place", c, 1, [6]int64{0, 1, 1, 0, 5, 4}},
		{"that one is small which is not known", d, 0, [6]int64{0, 1, 1, 0, 5, 4}},
		{"one beyond all bounds", f, 1 << 40, [6]int64{0, 1, 1, 0, 5, 65535}},
		{"the largest", e, 65535, [6]int64{0, 1, 1, 0, 65535, 65535}},
	} {
		s.note(step.hash, step.units)
		if got := s.remembered(a, b, c, d, e, f); got != step.want {
			t.Errorf("after noting %s: got %v units of the six, want %v", step.what, got, step.want)
		}
	}
	for i := range s.sets {
		for j := range s.sets[i] {
			if i != 5 && s.sets[i][j].Load() != 0 {
				t.Fatalf("set %d, of which no answer was noted: got something at place %d", i, j)
			}
		}
	}
}

// Otherwise a client could choose which one is replaced.
func TestOfEquallySmallAnswersTheHashChoosesTheOneThatIsReplaced(t *testing.T) {
	for place := range uint64(4) {
		s := &sizes{}
		for i := range uint64(4) {
			s.note(named(i+1, i), 1)
		}
		s.note(named(9, place), 1)
		for i := range uint64(4) {
			if got, want := s.units(named(i+1, i)) == 0, i == place; got != want {
				t.Errorf("a small answer whose hash chooses place %d: got the one at place %d replaced %t, want %t", place, i, got, want)
			}
		}
	}
}

func TestTheNameOfAnAnswerIsNeverThatOfAFreePlace(t *testing.T) {
	s := &newRig().sizes
	for i := range 2000 {
		path := string(rune('a'+i%26)) + string(rune('a'+i/26))
		key, tree := s.hashOf(path, false), s.hashOf(path, true)
		if key&tree&(1<<16) == 0 || key == tree {
			t.Fatalf("the names of %s and its tree: got %#x and %#x, want two whose tags are odd", path, key, tree)
		}
	}
	if got := len(s.sets) * len(s.sets[0]); got != 8192 {
		t.Errorf("places: got %d, want 8,192", got)
	}
}
