package lane

import "time"

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
