package std

import (
	"io"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
)

// work counts what the requests of a connection are doing, so that a connection can be taken
// back while nothing is lost by that.
type work struct {
	mu       sync.Mutex
	requests [numPhases]int
	progress time.Time // the last time that the client sent or accepted something
	blocked  lane.Blocked
	// stuck reports whether the client has accepted nothing for some seconds, whatever its
	// requests are doing; nil if that is known by them.
	stuck func() bool
}

// phase is what one request is doing.
type phase int

const (
	ended     phase = iota
	working         // the proxy or etcd works for it
	queued          // waits for its turn at etcd
	writing         // etcd may carry out its write
	receiving       // waits for the client's body
	sending         // waits until the client has accepted its answer
	watching        // waits for an event
	numPhases
)

// class returns what the requests are doing, and whether there are any; w.mu is held.
// blocked is whether written bytes wait for the client.
func (w *work) class(blocked bool) (class account.Class, some bool) {
	slow := w.blocked.Slow(blocked)
	n := &w.requests
	waits := n[receiving]+n[sending] > 0
	switch {
	case n[writing] > 0:
		return account.Busy, true
	case waits && w.stuck != nil && w.stuck():
		return account.Stalled, true // it must not be shielded by requests that etcd answers
	case n[working] > 0:
		return account.Busy, true
	case waits && time.Since(w.progress) > lane.StalledAfter:
		return account.Stalled, true
	case n[queued] > 0 && time.Since(w.progress) > slowAfter:
		return account.Slow, true
	case n[queued] > 0:
		return account.Busy, true
	case waits && slow:
		return account.Slow, true
	case waits:
		return account.Busy, true
	case n[watching] > 0:
		return account.Watching, true
	}
	return account.Silent, false
}

// progressed records that the client sent or accepted something.
func (w *work) progressed() {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.progress = now
}

// task is one request of a connection.
type task struct {
	work *work

	// The lock of the work guards these.
	now      phase
	progress time.Time // of this request
}

// enter starts a phase and returns the one that has ended.
func (t *task) enter(next phase) (before phase) {
	now := time.Now()
	t.work.mu.Lock()
	defer t.work.mu.Unlock()
	before, t.now = t.now, next
	if before != ended {
		t.work.requests[before]--
	}
	if next != ended {
		t.work.requests[next]++
	}
	t.work.progress, t.progress = now, now
	return before
}

// progressed records that the client sent or accepted a part of this request.
func (t *task) progressed() {
	now := time.Now()
	t.work.mu.Lock()
	defer t.work.mu.Unlock()
	t.work.progress, t.progress = now, now
}

// slowAfter is how long a stream may make no progress before it counts as slow. An answer
// that is being sent looks the same for a moment.
const slowAfter = 200 * time.Millisecond

// class returns what this request is doing, whatever others of its connection do.
func (t *task) class() account.Class {
	t.work.mu.Lock()
	defer t.work.mu.Unlock()
	switch t.now {
	case queued:
		if time.Since(t.progress) > slowAfter {
			return account.Slow
		}
	case receiving, sending:
		switch pause := time.Since(t.progress); {
		case pause > lane.StalledAfter:
			return account.Stalled
		case pause > slowAfter:
			return account.Slow
		}
	case watching:
		return account.Watching
	}
	return account.Busy
}

// receivedBody is a request's body that records the progress of its client.
type receivedBody struct {
	io.ReadCloser
	task *task
}

// startReceiving records that the request waits for its client's body, whatever becomes of the
// body. A client that stops in the body of a refused request could otherwise hold its connection
// as if the proxy worked for it.
func (q *request) startReceiving() {
	q.task.enter(receiving)
	if q.body.ReadCloser == nil {
		q.body = receivedBody{q.r.Body, &q.task}
		q.r.Body = &q.body
	}
}

// Read reads what has arrived.
func (b *receivedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.task.progressed()
	}
	return n, err
}
