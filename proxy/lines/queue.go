package lines

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxBytes bounds the lines that wait. It is what a busy proxy logs in a second.
	maxBytes = 4 << 20
	// maxKept is the size of a buffer that is kept for further lines.
	maxKept = 64 << 10
	// StuckAfter is how long a write may last. A disk that is only busy takes less.
	StuckAfter = time.Second
)

// The errors of a queue.
var (
	ErrFull  = errors.New("lines wait for the reader or the disk of the log, and there is no room for more")
	ErrStuck = errors.New("the reader or the disk of the log does not take what is written")
)

// Options describes a [Queue].
type Options struct {
	// Torn is set if the file ends within a line, which must not swallow the next one.
	Torn bool
	// Notice returns a line that is written before others, or nil: behind a line that was lost,
	// and before those that were added later. It is called by the goroutine of the queue.
	Notice func() []byte
	// Written is called by that goroutine after each write, with the number of lines that
	// were lost, and the error.
	Written func(lost int, err error)
}

// Queue holds lines until they are written. Its methods may be called concurrently.
type Queue struct {
	to      io.Writer
	options Options
	torn    bool         // of the goroutine
	began   atomic.Int64 // when the write that runs has begun, in nanoseconds since 1970; 0 if none runs
	ended   chan struct{}

	mu     sync.Mutex
	more   sync.Cond
	buffer []byte
	spare  []byte // was written, and is used again
	lines  int    // in the buffer
	asked  bool   // whether a notice is to be written without a line
	full   bool   // whether a line was refused behind those in the buffer
	closed bool

	taken, written int           // batches
	progress       chan struct{} // closed when a batch was written; nil if nobody waits for that
}

// New returns a queue, which writes nothing before [Queue.Start].
func New(to io.Writer, o Options) *Queue {
	q := &Queue{to: to, options: o, torn: o.Torn, ended: make(chan struct{})}
	q.more.L = &q.mu
	return q
}

// Start starts the goroutine of the queue. [Queue.Close] must be called.
func (q *Queue) Start() { go q.run() }

// Add adds a line, which it copies. It fails with [ErrFull] if there is no room.
func (q *Queue) Add(line []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.buffer)+len(line) > maxBytes {
		q.full = true
		return ErrFull
	}
	q.buffer = append(q.buffer, line...)
	q.lines++
	q.more.Signal()
	return nil
}

// Try makes the queue write its notice without a line.
func (q *Queue) Try() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asked = true
	q.more.Signal()
}

// Stuck returns since when a write lasts too long, or the zero time.
func (q *Queue) Stuck() time.Time {
	began := q.began.Load()
	if began == 0 || time.Since(time.Unix(0, began)) < StuckAfter {
		return time.Time{}
	}
	return time.Unix(0, began)
}

// Flush waits until the lines that were added before are written, but not for longer than
// patience.
func (q *Queue) Flush(patience time.Duration) {
	late := time.NewTimer(patience)
	defer late.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	last := q.taken
	if q.lines > 0 || q.asked {
		last++
	}
	for q.written < last {
		if q.progress == nil {
			q.progress = make(chan struct{})
		}
		progress := q.progress
		q.mu.Unlock()
		select {
		case <-progress:
			q.mu.Lock()
		case <-late.C:
			q.mu.Lock()
			return
		}
	}
}

// Close refuses further lines, and waits until those that were added are written. If that
// takes longer than patience, it reports the lines that are given up.
func (q *Queue) Close(patience time.Duration) {
	q.mu.Lock()
	q.closed = true
	q.more.Signal()
	q.mu.Unlock()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-q.ended:
		return
	case <-late.C:
	}
	q.mu.Lock()
	lost := q.lines
	q.buffer, q.lines = nil, 0
	q.mu.Unlock()
	if lost > 0 {
		q.options.Written(lost, ErrStuck)
	}
}

func (q *Queue) run() {
	defer close(q.ended)
	for {
		batch, lines, noticed, ok := q.take()
		if !ok {
			return
		}
		var head []byte
		if noticed {
			head = q.options.Notice()
		}
		q.write(head, batch, lines)
		q.mu.Lock()
		if cap(batch) <= maxKept {
			q.spare = batch[:0]
		}
		q.written++
		if q.progress != nil {
			close(q.progress)
			q.progress = nil
		}
		q.mu.Unlock()
	}
}

// take waits for lines, and takes all. noticed is whether the notice belongs before them, and not
// behind them. ok is false if the queue is closed and empty.
func (q *Queue) take() (batch []byte, lines int, noticed, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.lines == 0 && !q.asked {
		if q.closed {
			return nil, 0, false, false
		}
		q.more.Wait()
	}
	batch, lines = q.buffer, q.lines
	q.taken++
	noticed = !q.full || lines == 0
	q.buffer, q.spare, q.lines, q.asked, q.full = q.spare, nil, 0, !noticed, false
	return batch, lines, noticed, true
}

// write writes a batch behind a notice, and reports what was lost of it.
func (q *Queue) write(head, batch []byte, lines int) {
	if q.torn && len(head)+len(batch) > 0 {
		head = append([]byte{'\n'}, head...)
	}
	out := batch
	if len(head) > 0 {
		out = append(head, batch...)
	}
	if len(out) == 0 {
		return
	}
	q.began.Store(time.Now().UnixNano())
	n, err := q.to.Write(out)
	q.began.Store(0)
	if n > 0 {
		q.torn = out[n-1] != '\n'
	}
	if err == nil && n < len(out) {
		err = io.ErrShortWrite
	}
	if err != nil {
		lines -= bytes.Count(out[min(n, len(head)):n], []byte{'\n'})
	} else {
		lines = 0
	}
	q.options.Written(lines, err)
}
