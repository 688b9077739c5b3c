package share

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/upstream"
)

// text is the text of an event in memory. Hubs of several keys receive the same event, a
// watch of a directory and watches of the keys below it. Their events share one text.
type text struct {
	index uint64
	key   string
	// chunked is body in the chunked coding; body is a part of it.
	chunked, body []byte

	users int // guarded by texts.mu
	size  int64
}

// texts holds the texts of all events, and counts their bytes before it allocates them.
type texts struct {
	limit int64
	held  atomic.Int64
	// large bounds the large events that are received at the same time. Most of them turn
	// out to be equal to another one when they are complete. etcd waits meanwhile.
	large *semaphore.Weighted
	// past is the same for events that exist already. A client can ask for one of these as often
	// as it likes, and events that are new must not wait behind them.
	past *semaphore.Weighted

	patience time.Duration // of an event for which there is no room

	mu      sync.Mutex
	byIndex map[uint64]*text
	holders map[*Watcher]*text // whose clients have not taken a large event
	freed   chan struct{}      // closed when a text is released; nil if nobody waits for that
}

const (
	// largeText is the size from which an event counts as large while it is received.
	largeText = 64 << 10
	maxLarge  = 2
	// countedText is the size from which the buffer of an event that arrives is counted.
	// Smaller ones are bounded by the number of watches.
	countedText = 4 << 10
	// maxEventBytes is more than etcd ever sends in one event. An event holds two values of
	// at most 10 MiB each, and JSON encodes a byte in at most six.
	maxEventBytes = 128 << 20
)

func newTexts(limit int64) *texts {
	return &texts{
		limit: limit, large: semaphore.NewWeighted(maxLarge), past: semaphore.NewWeighted(maxLarge), patience: roomPatience,
		byIndex: make(map[uint64]*text), holders: make(map[*Watcher]*text),
	}
}

var (
	errNoRoom          = errors.New("there is no memory for the event")
	errUnreadableEvent = errors.New("etcd sent an event without an index")
	errEventTooLarge   = errors.New("the answer does not end")
)

// reserve counts n more bytes, unless there would be too many.
func (ts *texts) reserve(n int64) bool {
	if n <= 0 || ts.held.Add(n) <= ts.limit {
		return true
	}
	ts.held.Add(-n)
	return false
}

// Memory returns the bytes of all events that are held, and their bound.
func (ws *Watches) Memory() (held, limit int64) { return ws.texts.held.Load(), ws.texts.limit }

// crowded reports whether events that nobody waits for should make room.
func (ts *texts) crowded() bool { return ts.held.Load() > ts.limit/2 }

// The chunked coding of a body has its length before it, of at most eight digits, and the
// empty chunk behind it.
const (
	headRoom  = len("12345678\r\n")
	chunkTail = "\r\n0\r\n\r\n"
)

// receive reads an answer to its end, and returns its text, whose user is the caller. The
// text is nil if the answer was empty. places are those of large events: texts.large or texts.past.
// wants returns the clients that the event is for.
func (ts *texts) receive(ctx context.Context, resp *upstream.Response, places *semaphore.Weighted, wants func() []*account.Account) (*text, error) {
	r := receiver{texts: ts, places: places, wants: wants, buf: make([]byte, headRoom, 512)}
	defer r.finish()
	for {
		if len(r.buf)+len(chunkTail) >= cap(r.buf) {
			if err := r.grow(ctx); err != nil {
				return nil, err
			}
		}
		n, err := resp.Read(r.buf[len(r.buf) : cap(r.buf)-len(chunkTail)])
		r.buf = r.buf[:len(r.buf)+n]
		resp.EndWatch()
		if err == io.EOF { //nolint:errorlint // never wrapped: Read returns io.EOF itself at the end, and an *upstream.Error otherwise
			return r.complete()
		}
		if err != nil {
			return nil, err
		}
	}
}

// receiver is an event that arrives.
type receiver struct {
	*texts
	places  *semaphore.Weighted
	wants   func() []*account.Account
	buf     []byte // has room for the head of a chunk before the body
	counted int64  // bytes that are counted for buf
	isLarge bool   // holds one of the places
}

// grow makes room for more bytes.
func (r *receiver) grow(ctx context.Context) error {
	size := 2 * cap(r.buf)
	if size > largeText {
		if !r.isLarge {
			if err := r.places.Acquire(ctx, 1); err != nil {
				return &upstream.Error{Kind: upstream.Canceled, Err: context.Cause(ctx)}
			}
			r.isLarge = true
		}
		size = cap(r.buf) + cap(r.buf)/2
	}
	if size > maxEventBytes {
		return &upstream.Error{Kind: upstream.Broken, Err: errEventTooLarge}
	}
	next := int64(size)
	if size <= countedText {
		next = 0
	}
	if !r.room(ctx, next) { // beside the old buffer, until it is copied
		return &upstream.Error{Kind: upstream.Busy, Err: errNoRoom}
	}
	r.buf = append(make([]byte, 0, size), r.buf...)
	r.held.Add(-r.counted)
	r.counted = next
	return nil
}

// finish releases what was needed while the event arrived.
func (r *receiver) finish() {
	r.held.Add(-r.counted)
	r.counted = 0
	if r.isLarge {
		r.places.Release(1)
	}
}

// complete returns the text of a whole answer: that of an equal event if there is one.
func (r *receiver) complete() (*text, error) {
	body := r.buf[headRoom:]
	if len(body) == 0 {
		return nil, nil
	}
	var content struct {
		Node struct {
			Key           string
			ModifiedIndex uint64
		}
	}
	if err := json.Unmarshal(body, &content); err != nil || content.Node.ModifiedIndex == 0 {
		return nil, &upstream.Error{Kind: upstream.Broken, Err: errUnreadableEvent}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	equal := r.byIndex[content.Node.ModifiedIndex]
	if equal != nil && bytes.Equal(equal.body, body) {
		equal.users++
		return equal, nil
	}
	t := &text{index: content.Node.ModifiedIndex, key: content.Node.Key, users: 1}
	r.keep(t)
	if equal == nil {
		r.byIndex[t.index] = t
	}
	return t, nil
}

// keep puts the chunked coding around the body. The text of a small event is moved to memory
// of its size. There is always room for it: as long as it is kept, a client waits with a
// connection or a stream that needs much more, or hubs drop it when events need much. That of
// another one stays where it is, and its bytes stay counted.
func (r *receiver) keep(t *text) {
	start := headRoom
	size := len(r.buf) - headRoom
	head := fmt.Appendf(make([]byte, 0, headRoom), "%x\r\n", size)
	start -= copy(r.buf[headRoom-len(head):], head)
	chunked := append(r.buf, chunkTail...)[start:]
	if r.counted == 0 {
		chunked = bytes.Clone(chunked)
		t.size = int64(cap(chunked))
		r.held.Add(t.size)
	} else {
		t.size, r.counted = r.counted, 0
	}
	t.chunked, t.body = chunked, chunked[len(head):][:size:size]
}

// release ends the use of a text.
func (ts *texts) release(t *text) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.users--; t.users > 0 {
		return
	}
	ts.held.Add(-t.size)
	if ts.freed != nil {
		close(ts.freed)
		ts.freed = nil
	}
	if ts.byIndex[t.index] == t {
		delete(ts.byIndex, t.index)
	}
}
