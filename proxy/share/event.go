package share

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// Event is one change of what is watched, or the end of watching.
type Event struct {
	// Index is its modifiedIndex; no two events have the same.
	Index uint64
	// Body is what etcd answers a watch with: JSON and a line feed. Chunked is the same
	// as HTTP/1.1 carries it, with the end of the answer.
	Body, Chunked []byte
	// Err is why there is no event and will be none: etcd broke off, or events may
	// have been missed. Watchers must be told that their watch failed.
	Err error

	key      string
	received time.Time
	pending  atomic.Int32 // watchers that were woken for it and have not left
}

var errUnreadableEvent = errors.New("etcd sent an event without an index")

// parseEvent reads the answer to a watch.
func parseEvent(line []byte) (*Event, error) {
	var text struct {
		Node struct {
			Key           string
			ModifiedIndex uint64
		}
	}
	if err := json.Unmarshal(line, &text); err != nil || text.Node.ModifiedIndex == 0 {
		return nil, errUnreadableEvent
	}
	e := &Event{Index: text.Node.ModifiedIndex, key: text.Node.Key, received: time.Now()}
	e.Chunked = fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(line), line)
	start := bytes.IndexByte(e.Chunked, '\n') + 1
	e.Body = e.Chunked[start:][:len(line):len(line)]
	return e, nil
}

// ring is the recent events of a hub, the oldest first.
type ring struct {
	// start is the index from which on nothing is missing.
	start  uint64
	last   uint64 // the newest index that is known
	events []*Event
	size   int // bytes of their bodies
	total  *atomic.Int64
	keep   bool // forget nothing: it is one event
}

const (
	// mostEvents is what etcd itself remembers, of all keys together.
	maxEvents = 1000
	// mostRing bounds the bytes of one ring, mostRings those of all.
	maxRingBytes    = 4 << 20
	maxAllRingBytes = 64 << 20
)

// add takes an event that is newer than all others, and forgets old ones; even that
// one, if all rings together are too large.
func (r *ring) add(e *Event) {
	r.events = append(r.events, e)
	r.last = e.Index
	r.grow(len(e.Body))
	drop := 0
	for !r.keep && drop < len(r.events) && (len(r.events)-drop > maxEvents || r.size > maxRingBytes || r.total.Load() > maxAllRingBytes) {
		r.start = r.events[drop].Index + 1
		r.grow(-len(r.events[drop].Body))
		drop++
	}
	r.events = slices.Delete(r.events, 0, drop)
}

func (r *ring) grow(n int) {
	r.size += n
	r.total.Add(int64(n))
}

// release counts the memory out.
func (r *ring) release() { r.grow(-r.size) }

// from is the first event with the index or above; nil if there is none yet. The
// ring must cover the index.
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

// mostEvent is more than etcd ever sends at once, in bytes: an event holds two values,
// which come in forms of 10 MiB at most, and six bytes are the most that JSON makes of one.
const maxEventBytes = 128 << 20

var errEventTooLarge = errors.New("the answer does not end")

// readAll reads what etcd sends at once.
func readAll(resp *upstream.Response) ([]byte, error) {
	body := make([]byte, 0, 512)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := resp.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		resp.EndWatch()
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		if len(body) > maxEventBytes {
			return nil, &upstream.Error{Kind: upstream.Broken, Err: errEventTooLarge}
		}
	}
}
