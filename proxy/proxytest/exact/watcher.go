package exact

// checkWatchers makes sure that each watcher has received what the first one has.
func (h *History) checkWatchers(found *findings) {
	for i := range h.Watchers {
		w := &h.Watchers[i]
		received := map[uint64]bool{}
		last := w.After
		for _, e := range w.Events {
			if e.index() <= last {
				found.add("%s received the event %s after one of the index %d", w.Name, describe(e.Event), last)
			}
			last = e.index()
			received[last] = true
		}
		wanted := map[uint64]bool{}
		for _, e := range h.Events {
			if e.index() <= w.After || e.index() > w.To || w.Key != "" && e.Node.Key != w.Key || jumped(w.Jumps, e.index()) {
				continue
			}
			wanted[e.index()] = true
			if !received[e.index()] {
				found.add("%s, from the index %d on, missed the event %s", w.Name, w.After, describe(e.Event))
			}
		}
		for _, e := range w.Events {
			if !wanted[e.index()] && !h.forgotten(e.index()) {
				found.add("%s received the event %s, which the first watcher did not", w.Name, describe(e.Event))
			}
		}
	}
}
