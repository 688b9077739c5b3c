package lane

import (
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// Pace bounds how slowly a client transfers a body. A client has BodyTimeout for its next
// bytes, and gains time at minBodyRate for those that pass, but never has more than
// BodyTimeout. So no client can transfer most of a body at once and hold it for hours after
// that.
type Pace struct {
	timeout, left time.Duration
	began         time.Time // of the current read or write
}

// minBodyRate is a rate in bytes per second.
const minBodyRate = 4 << 10

// NewPace returns the pace of a body that starts now.
func (l *Limits) NewPace() Pace { return Pace{timeout: l.BodyTimeout, left: l.BodyTimeout} }

// Begin is called before each read or write, and returns its deadline. What passes between
// two of them does not count: it is time that etcd needs.
func (p *Pace) Begin() time.Time {
	p.began = time.Now()
	return p.began.Add(p.left)
}

// End is called after each read or write, with the bytes that have passed.
func (p *Pace) End(n int) {
	gained := time.Duration(n) * time.Second / minBodyRate
	p.left = min(p.timeout, p.left-time.Since(p.began)+gained)
}

// Run lets the other connections run now and then. The goroutine of a connection does not wait
// while its client sends requests without a pause and takes the answers. Go would let it run for
// ten milliseconds each time, and a request on another connection has to wait several times. The
// zero Run is ready for use.
type Run struct{ served uint }

// LongestRun is how many requests a connection may have in a row, or reads on HTTP/2.
const LongestRun = 8

// Served is called after each of them.
func (r *Run) Served() {
	if r.served++; r.served%LongestRun == 0 {
		runtime.Gosched()
	}
}

// reads bounds how often a connection makes the proxy read for nothing: PINGs, settings, windows and
// resets of HTTP/2, heads and bodies that arrive byte by byte. To send something small costs a client
// less than it costs the proxy to decrypt it, and no answer of etcd slows that down.
//
// Each read uses up credit, and whatever is of use gives it back: an answer, or many bytes at once; and
// a little comes with time. Clients that make requests, or a PING now and then, never run out of it,
// however many they are behind one address. A read without credit needs a unit of the rate of the
// account, and waits until it is due.
type reads struct {
	bounds  *Bounds // nil as long as there are none
	account *account.Account
	credit  atomic.Int64
	windows atomic.Int64 // reads of frames that widen windows for what was sent lately
	sent    atomic.Int64 // when that was, in nanoseconds since 1970
	rested  time.Time    // until when time has given credit; only the goroutine that reads uses it
}

const (
	// firstCredit is what a connection begins with: enough for what any client sends before its first
	// answer. A thousand connections that are used for nothing else cost half a second.
	firstCredit = 32
	// maxCredit is the most that a connection can have.
	maxCredit = 64
	// restPays is how much time gives credit for one read. A PING is two reads, so that clients that
	// send one each ten seconds on idle connections never wait, and those on all connections that the
	// proxy may have cost a tenth of a processor.
	restPays = 4 * time.Second
	// payingRead is how many bytes pay for one read. Each read of something large pays for itself.
	payingRead = 512
	// maxWindows bounds the reads for windows, and windowStep is how many bytes that were sent give one:
	// a client that reads 4 KiB at a time widens two windows for that, in two reads each. It does that
	// soon after they were sent, or slowly.
	maxWindows  = 4 << 10
	windowStep  = 1 << 10
	windowsLast = time.Second
)

// errTooManyReads ends a connection of a client many of whose connections wait already.
var errTooManyReads = errors.New("the client sends too much that is no request, on too many connections")

// Bounds are the rates of what connections make the proxy receive for nothing.
type Bounds struct {
	// Reads is the rate of reads that nothing pays for, and Delayed is called for each that waits.
	Reads   *account.Rate
	Delayed func()
	// Lingering is the rate of what is received behind last answers, in units of [LingerUnit]; nil
	// means that there is no bound.
	Lingering *account.Rate
}

// Bound sets bounds for the connection, which is charged to an account, from now on.
func (c *ClientConn) Bound(b *Bounds, a *account.Account) {
	c.reads.bounds, c.reads.account = b, a
	c.reads.credit.Store(firstCredit)
	c.reads.rested = time.Now()
}

// Served gives credit back for so many reads. A lane calls it for each answer, with what its client has
// to send for it at most, until its next one.
func (c *ClientConn) Served(reads int) { c.reads.earn(int64(reads)) }

// Sent gives credit back for the windows of HTTP/2 that a client widens when it has taken so many bytes.
func (c *ClientConn) Sent(bytes int) {
	r := &c.reads
	if r.bounds != nil && bytes >= windowStep {
		r.windows.Store(min(maxWindows, max(0, r.windows.Load())+int64(bytes/windowStep)))
		r.sent.Store(time.Now().UnixNano())
	}
}

// window pays for a read by what was sent lately.
func (r *reads) window() bool {
	return r.windows.Load() > 0 && time.Since(time.Unix(0, r.sent.Load())) < windowsLast && r.windows.Add(-1) >= 0
}

// rest pays for a read by the time that has passed.
func (r *reads) rest() bool {
	now := time.Now()
	n := int64(now.Sub(r.rested) / restPays)
	if n <= 0 {
		return false
	}
	r.rested = now
	r.earn(min(n, firstCredit) - 1) // one is used at once
	return true
}

// AnswerReads is what a request and its answer are worth on HTTP/1: its client has no reason to send it
// in more pieces.
const AnswerReads = maxCredit

func (r *reads) earn(n int64) {
	if n > 0 && r.bounds != nil && r.credit.Add(n) > maxCredit {
		r.credit.Store(maxCredit) // what is used meanwhile does not matter
	}
}

// pay pays for a read, and waits until it is due.
func (c *ClientConn) pay() error {
	r := &c.reads
	if r.bounds == nil || r.credit.Add(-1) >= 0 {
		return nil
	}
	r.credit.Add(1)
	if r.rest() || r.window() {
		return nil
	}
	wait, ok := r.bounds.Reads.Reserve(r.account)
	if !ok {
		return errTooManyReads
	}
	if wait <= 0 {
		return nil
	}
	r.bounds.Delayed()
	return c.sleep(wait)
}

// sleep waits for a while, or until the connection is closed.
func (c *ClientConn) sleep(d time.Duration) error {
	due := time.NewTimer(d)
	defer due.Stop()
	select {
	case <-due.C:
		return nil
	case <-c.ended:
		return net.ErrClosed
	}
}
