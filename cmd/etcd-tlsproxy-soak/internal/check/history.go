package check

import (
	"fmt"
	"sync"
	"time"
)

// History is the sequence of events below a watched folder, as writers, watchers and
// readers report it. All reports must agree, and every watcher must receive each event
// that happened while it watched.
type History struct {
	Folder   string
	findings *Findings

	mu       sync.Mutex
	entries  map[uint64]entry // by etcd's index
	open     map[string]int   // how many writes of each text have an unknown outcome
	watchers []*Watcher
	oldest   uint64 // entries below this index are forgotten
	absences []absence
}

// entry is one event as reported by the writer and by every watcher.
type entry struct {
	text  string
	key   string
	acked bool // etcd acknowledged it to the writer
}

// maxDelay is the number of events by which an acknowledgement may lag behind its event. It
// bounds the entries that are kept for each folder.
const maxDelay = 20_000

// NewHistory returns the empty history of a folder.
func NewHistory(folder string, findings *Findings) *History {
	return &History{Folder: folder, findings: findings, entries: make(map[uint64]entry), open: make(map[string]int)}
}

// SetText describes an event that sets a key.
func SetText(key, value string) string { return "set " + key + " " + value }

// DeleteText describes an event that deletes a key.
func DeleteText(key string) string { return "delete " + key }

// Acknowledge records a write that etcd acknowledged to its writer.
func (h *History) Acknowledge(who string, index uint64, key, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known, reported := h.entries[index]
	if reported && known.text != text {
		h.findings.Mismatch(who, "event %d is acknowledged as %q, and was reported as %q", index, text, known.text)
	}
	h.entries[index] = entry{text: text, key: key, acked: true}
	for _, w := range h.watchers {
		if _, received := w.received[index]; !received && w.from <= index && index <= w.last {
			h.findings.Mismatch(w.who, "missed event %d, %q: it has watched %s since event %d and has received event %d", index, text, h.Folder, w.from, w.last)
		}
	}
	h.trim()
}

// AddUnknown records a write that etcd may or may not carry out.
func (h *History) AddUnknown(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open[text]++
}

// Receive records an event that a watcher received, and that must follow its last one.
func (h *History) Receive(w *Watcher, index uint64, key, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if index <= w.last {
		h.findings.Mismatch(w.who, "got event %d, %q, want one after %d", index, text, w.last)
		return
	}
	for i := max(w.last+1, h.oldest); i < index; i++ {
		if missed, ok := h.entries[i]; ok {
			h.findings.Mismatch(w.who, "missed event %d, %q: it waited for the first event after %d and got %d", i, missed.text, w.last, index)
		}
	}
	h.compare(w.who, index, key, text)
	w.last = index
	w.received[index] = struct{}{}
	if len(w.received) > 2*maxDelay {
		w.from = index - maxDelay
		for i := range w.received {
			if i < w.from {
				delete(w.received, i)
			}
		}
	}
	h.trim()
}

// compare checks a report of an event against earlier ones, and records it; h.mu is held.
func (h *History) compare(who string, index uint64, key, text string) {
	known, ok := h.entries[index]
	if ok && known.text != text {
		h.findings.Mismatch(who, "event %d is %q, and was reported as %q", index, text, known.text)
	}
	if !ok && index >= h.oldest {
		h.entries[index] = entry{text: text, key: key}
	}
}

// trim forgets the oldest entries once there are too many; h.mu is held.
func (h *History) trim() {
	if len(h.entries) < 2*maxDelay {
		return
	}
	newest := uint64(0)
	for i := range h.entries {
		newest = max(newest, i)
	}
	// An index counts the events of all folders, so this may keep too much at first.
	h.oldest = newest - min(newest, 20*maxDelay)
	for len(h.entries) >= 2*maxDelay {
		h.oldest += (newest - h.oldest) / 2
		for i, known := range h.entries {
			if i < h.oldest {
				h.forget(i, known)
			}
		}
	}
}

// forget removes an entry. If no writer can have written it, it is a mismatch; h.mu is
// held.
func (h *History) forget(index uint64, known entry) {
	delete(h.entries, index)
	if known.acked {
		return
	}
	if h.open[known.text] == 0 {
		h.findings.GhostWrite(h.Folder, "event %d, %q, was never written", index, known.text)
		return
	}
	if h.open[known.text]--; h.open[known.text] == 0 {
		delete(h.open, known.text)
	}
}

// Close checks what is left, at the end of a run.
func (h *History) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checkAbsences(time.Now())
	for i, known := range h.entries {
		h.forget(i, known)
	}
}

// CheckReceived returns an error that names a watcher which has not received an event yet.
func (h *History) CheckReceived(index uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.watchers {
		if w.last == nowhere || w.last < index {
			return fmt.Errorf("%s is at event %d, and the last one is %d", w.who, w.last, index)
		}
	}
	return nil
}
