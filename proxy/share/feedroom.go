package share

// hold counts an event for a watcher, unless it is small; f.mu is held.
func (f *Feed) hold(w *Watcher, e *Event) {
	if len(e.Chunked) <= countedText {
		return
	}
	if e.users.Add(1) == 1 {
		f.held += int64(len(e.Chunked))
	}
	if w.account != nil {
		f.holders[w] = struct{}{}
	}
}

// drop ends the count of an event for a watcher; f.mu is held.
func (f *Feed) drop(e *Event) {
	if len(e.Chunked) > countedText && e.users.Add(-1) == 0 {
		f.held -= int64(len(e.Chunked))
	}
}

// dropAll is drop for several events.
func (f *Feed) dropAll(events []*Event) {
	for _, e := range events {
		f.drop(e)
	}
}

// makeRoom breaks off the clients that hold the most until the others hold no more than the limit;
// f.mu is held. The source cannot wait until there is room.
func (f *Feed) makeRoom() {
	for {
		h, held := newHoldings(), int64(0)
		for w := range f.holders {
			if w.broken {
				continue
			}
			for _, e := range w.fed.events(w) {
				h.add(w.account, e, int64(len(e.Chunked)))
				if h.first(holding{event: e}) {
					held += int64(len(e.Chunked))
				}
			}
		}
		most := h.most()
		if held <= f.limit || most == nil {
			return
		}
		breakOff(f.holders, most)
	}
}

// events returns the large events that the watcher has not finished; feed.mu is held.
func (d *fed) events(w *Watcher) (large []*Event) {
	all := d.behind
	if e := w.result.Load(); e != nil && e != d.finished {
		all = append([]*Event{e}, all...)
	}
	for _, e := range all {
		if len(e.Chunked) > countedText {
			large = append(large, e)
		}
	}
	return large
}
