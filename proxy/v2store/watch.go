package v2store

import "strings"

// Watches are the watches that wait for events.
type Watches struct {
	at map[string][]*Watcher // by key; a watcher knows its place
	n  int
}

// Receiver is who watches.
type Receiver interface {
	// Receive receives an event. It must not call the watches.
	Receive(e *Event)
}

// Watcher is a watch.
type Watcher struct {
	// Index is the index of the tree when the watch was registered.
	Index             uint64
	since             uint64
	key               string
	recursive, stream bool
	place             int // among the watches of its key, unless it has ended
	receiver          Receiver
}

// NewWatches returns an empty set of watches.
func NewWatches() *Watches { return &Watches{at: map[string][]*Watcher{}} }

// Start registers a watch. If the history has its event, it is received at once and the watch
// ends, even if it is a stream.
func (w *Watches) Start(o *Operation, t *Tree, h *History, r Receiver) (*Watcher, *Error) {
	watcher := &Watcher{Index: t.index, since: o.Since, key: o.Key, recursive: o.Recursive, stream: o.Stream, receiver: r}
	if watcher.since == 0 {
		watcher.since = t.index + 1
	}
	e, err := h.Scan(o, watcher.since, t.index)
	if err != nil {
		return nil, err
	}
	if e != nil {
		r.Receive(e)
		return watcher, nil
	}
	watcher.place = len(w.at[o.Key])
	w.at[o.Key] = append(w.at[o.Key], watcher)
	w.n++
	return watcher, nil
}

// Len returns the number of watches.
func (w *Watches) Len() int { return w.n }

// Receivers returns who watches.
func (w *Watches) Receivers() []Receiver {
	all := make([]Receiver, 0, w.n)
	for _, list := range w.at {
		for _, watcher := range list {
			all = append(all, watcher.receiver)
		}
	}
	return all
}

// Stop ends a watch. It may have ended before.
func (w *Watches) Stop(watcher *Watcher) {
	list := w.at[watcher.key]
	if watcher.place >= len(list) || list[watcher.place] != watcher {
		return
	}
	last := len(list) - 1
	list[watcher.place] = list[last]
	list[watcher.place].place = watcher.place
	w.n--
	w.keep(watcher.key, list, last)
}

// keep keeps the first n watches of a key.
func (w *Watches) keep(key string, list []*Watcher, n int) {
	clear(list[n:])
	if n == 0 {
		delete(w.at, key)
		return
	}
	w.at[key] = list[:n]
}

// Notify delivers a live event. Watches that are not streams end with it.
func (w *Watches) Notify(e *Event) {
	if e.Refresh {
		return
	}
	for _, key := range e.Removed {
		w.notify(e, key, true)
	}
	w.notify(e, "", false)
	for end := 0; end < len(e.Node.Key); {
		end = nextEnd(e.Node.Key, end+1)
		w.notify(e, e.Node.Key[:end], false)
	}
}

// notify delivers an event to the watches of one key, in one pass: there may be thousands.
func (w *Watches) notify(e *Event, key string, removed bool) {
	list := w.at[key]
	itself := key == e.Node.Key
	if len(list) == 0 || !itself && hiddenBetween(key, e.Node.Key) {
		return
	}
	left := 0
	for _, watcher := range list {
		receives := e.Index >= watcher.since && (watcher.recursive || itself || removed)
		if receives {
			watcher.receiver.Receive(e)
		}
		if !receives || watcher.stream {
			watcher.place = left
			list[left] = watcher
			left++
		}
	}
	w.n -= len(list) - left
	w.keep(key, list, left)
}

// hiddenBetween reports whether a segment of key below the watched key is hidden.
func hiddenBetween(watched, key string) bool {
	return len(watched) <= len(key) && strings.Contains(key[len(watched):], "/_")
}
