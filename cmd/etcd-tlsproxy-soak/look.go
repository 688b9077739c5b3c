package main

import "time"

// absence is a key that a reader did not find, and that was set before. Whoever
// deleted it may hear of that later than the reader.
type absence struct {
	who, key string
	set, at  uint64 // the event that set it, and the index of the answer
	since    time.Time
}

// look compares a whole read with the events up to its index, and lets the reader
// follow on from there.
func (l *ledger) look(f *follower, index uint64, nodes []*node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	newest := make(map[string]uint64)
	for i, known := range l.facts {
		if i <= index {
			newest[known.key] = max(newest[known.key], i)
		}
	}
	seen := make(map[string]uint64)
	for _, n := range nodes {
		seen[n.Key] = n.ModifiedIndex
		if n.ModifiedIndex > index {
			l.world.tally.mismatch(f.who, "%s is of index %d in an answer of index %d", n.Key, n.ModifiedIndex, index)
		}
		l.tell(f.who, n.ModifiedIndex, n.Key, setText(n.Key, n.Value))
	}
	for key, i := range newest {
		n, there := seen[key]
		switch gone := l.facts[i].text == deleteText(key); {
		case there && n < i:
			l.world.tally.mismatch(f.who, "%s as of index %d shows event %d of %s, and %q is event %d", l.folder, index, n, key, l.facts[i].text, i)
		case !there && !gone:
			l.absences = append(l.absences, absence{f.who, key, i, index, time.Now()})
		}
	}
	l.explain(time.Now().Add(-2 * patience))
	f.begin(index + 1)
}

// explain looks for the deletions behind absences that are older than some time, when
// all of them must be known; l.mu is held.
func (l *ledger) explain(before time.Time) {
	for len(l.absences) > 0 && l.absences[0].since.Before(before) {
		a := l.absences[0]
		l.absences = l.absences[1:]
		deleted := l.open[deleteText(a.key)] > 0 || a.set < l.oldest
		for i, known := range l.facts {
			deleted = deleted || a.set < i && i <= a.at && known.text == deleteText(a.key)
		}
		if !deleted {
			l.world.tally.mismatch(a.who, "%s as of index %d lacks %s, which event %d set", l.folder, a.at, a.key, a.set)
		}
	}
}
