package v2store

import "strings"

// Watches are the watches that wait for events.
type Watches struct {
	at map[string]map[*Watcher]struct{}
}

// Watcher is a watch.
type Watcher struct {
	// Index is the index of the tree when the watch was registered.
	Index   uint64
	op      *Operation
	since   uint64
	deliver func(*Event)
}

// NewWatches returns an empty set of watches.
func NewWatches() *Watches { return &Watches{at: map[string]map[*Watcher]struct{}{}} }

// Start registers a watch. If the history has its event, it is delivered at once and the watch
// ends, even if it is a stream. The function deliver must not call w.
func (w *Watches) Start(o *Operation, t *Tree, h *History, deliver func(*Event)) (*Watcher, *Error) {
	watcher := &Watcher{Index: t.index, op: o, since: o.Since, deliver: deliver}
	if watcher.since == 0 {
		watcher.since = t.index + 1
	}
	e, err := h.Scan(o, watcher.since, t.index)
	if err != nil {
		return nil, err
	}
	if e != nil {
		deliver(e)
		return watcher, nil
	}
	if w.at[o.Key] == nil {
		w.at[o.Key] = map[*Watcher]struct{}{}
	}
	w.at[o.Key][watcher] = struct{}{}
	return watcher, nil
}

// Stop ends a watch. It may have ended before.
func (w *Watches) Stop(watcher *Watcher) {
	set := w.at[watcher.op.Key]
	delete(set, watcher)
	if len(set) == 0 {
		delete(w.at, watcher.op.Key)
	}
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

// notify delivers an event to the watches of one key.
func (w *Watches) notify(e *Event, key string, removed bool) {
	itself := key == e.Node.Key
	if !itself && hiddenBetween(key, e.Node.Key) {
		return
	}
	for watcher := range w.at[key] {
		if e.Index < watcher.since || !watcher.op.Recursive && !itself && !removed {
			continue
		}
		if !watcher.op.Stream {
			w.Stop(watcher)
		}
		watcher.deliver(e)
	}
}

// hiddenBetween reports whether a segment of key below the watched key is hidden.
func hiddenBetween(watched, key string) bool {
	return len(watched) <= len(key) && strings.Contains(key[len(watched):], "/_")
}
