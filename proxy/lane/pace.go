package lane

import (
	"runtime"
	"time"
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
