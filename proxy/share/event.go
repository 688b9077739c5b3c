package share

import (
	"slices"
	"sync/atomic"
	"time"
)

// Event is one change of a watched key, or the failure of its watch.
type Event struct {
	// Index is the modifiedIndex, which is unique to the event.
	Index uint64
	// Body is etcd's answer to a watch: JSON and a line feed. Chunked is Body in HTTP/1.1's
	// chunked coding, with the last chunk.
	Body, Chunked []byte
	// Err is set if there will be no event: the connection to etcd was lost, or events may
	// have been missed. The watch must then fail visibly.
	Err error

	key      string
	received time.Time
	pending  atomic.Int32 // notified watchers that are not closed yet

	text  *text // nil for a failure
	texts *texts
	users atomic.Int32 // of the text: the ring, watchers with this result, the hub while it delivers
}

// newEvent returns an event, which its caller uses.
func (ts *texts) newEvent(t *text) *Event {
	e := &Event{Index: t.index, Body: t.body, Chunked: t.chunked, key: t.key, received: time.Now(), text: t, texts: ts}
	e.users.Store(1)
	return e
}

// use adds n users.
func (e *Event) use(n int) { e.users.Add(int32(n)) }

// release ends the use of the event. Without users its bytes are not counted any more.
func (e *Event) release() {
	if e.users.Add(-1) == 0 && e.text != nil {
		e.texts.release(e.text)
	}
}

// ring holds the recent events of a hub, the oldest first.
type ring struct {
	// start is the first index that the ring covers.
	start  uint64
	last   uint64 // the newest known index
	events []*Event
	size   int // bytes of their bodies
	texts  *texts
	keep   bool // drop nothing: the ring holds one event
}

const (
	// maxEvents is the length of etcd's own history of all keys.
	maxEvents = 1000
	// maxRingBytes bounds the bytes of one ring.
	maxRingBytes = 4 << 20
)

// add adds an event that is newer than all others and drops old events. It drops even
// the new one if the events of all hubs need too much memory.
func (r *ring) add(e *Event) {
	e.use(1)
	r.events = append(r.events, e)
	r.last = e.Index
	r.size += len(e.Body)
	drop := 0
	for !r.keep && drop < len(r.events) && (len(r.events)-drop > maxEvents || r.size > maxRingBytes || r.texts.crowded()) {
		r.start = r.events[drop].Index + 1
		r.size -= len(r.events[drop].Body)
		r.events[drop].release()
		drop++
	}
	r.events = slices.Delete(r.events, 0, drop)
}

// clear drops all events.
func (r *ring) clear() {
	for _, e := range r.events {
		e.release()
	}
	r.events, r.size = nil, 0
}

// from returns the first event at or above index, or nil if there is none yet. The ring
// must cover the index.
func (r *ring) from(index uint64) *Event {
	at, _ := slices.BinarySearchFunc(r.events, index, func(e *Event, index uint64) int {
		if e.Index < index {
			return -1
		}
		return 1
	})
	if at == len(r.events) {
		return nil
	}
	return r.events[at]
}
