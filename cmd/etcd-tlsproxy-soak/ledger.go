package main

import (
	"sync"
	"time"
)

// ledger is what happened below a watched folder, as writers and watchers tell it.
// They must tell the same: each event that one of them knows of must have been heard
// by every watcher that was there.
type ledger struct {
	world  *world
	folder string

	mu        sync.Mutex
	facts     map[uint64]fact // by etcd's index
	open      map[string]int  // texts of writes of unknown outcome
	followers []*follower
	oldest    uint64
	absences  []absence
}

// fact is one event. Each of its tellers makes it surer.
type fact struct {
	text  string
	key   string
	acked bool
}

// rememberedEvents bounds what is remembered of each folder: an acknowledgement comes
// at most so much later than the event.
const rememberedEvents = 20_000

func setText(key, value string) string { return "set " + key + " " + value }
func deleteText(key string) string     { return "delete " + key }

// acked takes note of a write that was acknowledged.
func (l *ledger) acked(who string, index uint64, key, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, heard := l.facts[index]
	if heard && known.text != text {
		l.world.tally.mismatch(who, "event %d was heard as %q and is acknowledged as %q", index, known.text, text)
	}
	l.facts[index] = fact{text: text, key: key, acked: true}
	for _, f := range l.followers {
		if _, heard := f.heard[index]; !heard && f.from <= index && index <= f.last {
			l.world.tally.mismatch(f.who, "missed event %d, %q: it follows %s from %d and is at %d", index, text, l.folder, f.from, f.last)
		}
	}
	l.trim()
}

// unknown takes note of a write that may come true.
func (l *ledger) unknown(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[text]++
}

// hear takes note of an event that a follower got when it had asked for the first
// one after its last.
func (l *ledger) hear(f *follower, index uint64, key, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index <= f.last {
		l.world.tally.mismatch(f.who, "got event %d, %q, and had asked for what comes after %d", index, text, f.last)
		return
	}
	for i := max(f.last+1, l.oldest); i < index; i++ {
		if missed, is := l.facts[i]; is {
			l.world.tally.mismatch(f.who, "missed event %d, %q: it asked for the first after %d and got %d", i, missed.text, f.last, index)
		}
	}
	l.tell(f.who, index, key, text)
	f.last = index
	f.heard[index] = struct{}{}
	if len(f.heard) > 2*rememberedEvents {
		f.from = index - rememberedEvents
		for i := range f.heard {
			if i < f.from {
				delete(f.heard, i)
			}
		}
	}
	l.trim()
}

// tell compares what was heard with what is known; l.mu is held.
func (l *ledger) tell(who string, index uint64, key, text string) {
	known, is := l.facts[index]
	if is && known.text != text {
		l.world.tally.mismatch(who, "event %d is %q, and was known as %q", index, text, known.text)
	}
	if !is && index >= l.oldest {
		l.facts[index] = fact{text: text, key: key}
	}
}

// trim forgets what is too old to be asked for; l.mu is held.
func (l *ledger) trim() {
	if len(l.facts) < 2*rememberedEvents {
		return
	}
	newest := uint64(0)
	for i := range l.facts {
		newest = max(newest, i)
	}
	// Indexes grow faster than this folder's events: some that are young go as well.
	l.oldest = newest - min(newest, 20*rememberedEvents)
	for len(l.facts) >= 2*rememberedEvents {
		l.oldest += (newest - l.oldest) / 2
		for i, known := range l.facts {
			if i < l.oldest {
				l.settle(i, known)
			}
		}
	}
}

// settle forgets an event; nobody can have written one that was neither acknowledged
// nor left open. l.mu is held.
func (l *ledger) settle(index uint64, known fact) {
	delete(l.facts, index)
	if known.acked {
		return
	}
	if l.open[known.text] == 0 {
		l.world.tally.ghostWrite(l.folder, "event %d, %q, was never written", index, known.text)
		return
	}
	if l.open[known.text]--; l.open[known.text] == 0 {
		delete(l.open, known.text)
	}
}

// close settles everything, at the end.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.explain(time.Now())
	for i, known := range l.facts {
		l.settle(i, known)
	}
}
