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
}

var errUnreadableEvent = errors.New("etcd sent an event without an index")

// parseEvent parses the answer to a watch.
func parseEvent(body []byte) (*Event, error) {
	var text struct {
		Node struct {
			Key           string
			ModifiedIndex uint64
		}
	}
	if err := json.Unmarshal(body, &text); err != nil || text.Node.ModifiedIndex == 0 {
		return nil, errUnreadableEvent
	}
	e := &Event{Index: text.Node.ModifiedIndex, key: text.Node.Key, received: time.Now()}
	e.Chunked = fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	start := bytes.IndexByte(e.Chunked, '\n') + 1
	e.Body = e.Chunked[start:][:len(body):len(body)]
	return e, nil
}

// ring holds the recent events of a hub, the oldest first.
type ring struct {
	// start is the first index that the ring covers.
	start  uint64
	last   uint64 // the newest known index
	events []*Event
	size   int // bytes of their bodies
	total  *atomic.Int64
	keep   bool // drop nothing: the ring holds one event
}

const (
	// maxEvents is the length of etcd's own history of all keys.
	maxEvents = 1000
	// maxRingBytes bounds the bytes of one ring, maxAllRingBytes those of all rings.
	maxRingBytes    = 4 << 20
	maxAllRingBytes = 64 << 20
)

// add adds an event that is newer than all others and drops old events. It drops even
// the new one if all rings together are too large.
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

// release subtracts the ring's bytes from the total.
func (r *ring) release() { r.grow(-r.size) }

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

// maxEventBytes is more than etcd ever sends in one event. An event holds two values of
// at most 10 MiB each, and JSON encodes a byte in at most six.
const maxEventBytes = 128 << 20

var errEventTooLarge = errors.New("the answer does not end")

// readAll reads an answer to its end.
func readAll(resp *upstream.Response) ([]byte, error) {
	body := make([]byte, 0, 512)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := resp.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		resp.EndWatch()
		if err == io.EOF { //nolint:errorlint // never wrapped: Read returns io.EOF itself at the end, and an *upstream.Error otherwise
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
