package changeover

import (
	"errors"
	"time"
)

// maxStale is how long reads are answered although the description is not followed. A member that changes its
// leader, or the next endpoint, needs less.
const maxStale = 10 * time.Second

// loss is the time since which the description is not followed.
type loss struct{ timer *time.Timer }

// lose takes note that the description is not followed.
func (p *Proxy) lose(err error) {
	p.update(func() {
		p.name, p.alone = "", false
		if !p.known.Load() && !errors.Is(err, errAgain) {
			p.reason = err.Error()
		}
		if p.lost != nil || p.o.ServeStale {
			return
		}
		l := new(loss)
		l.timer = time.AfterFunc(maxStale, func() { p.expire(l) })
		p.lost = l
	})
}

// expire makes what is known stale, unless the description has been followed again since it was lost. The lock orders
// it and what stops the timer.
func (p *Proxy) expire(l *loss) {
	p.mu.Lock()
	expired := p.lost == l
	if expired {
		p.stale.Store(true)
	}
	p.mu.Unlock()
	if expired && p.known.Load() {
		p.breakOff()
	}
}

// breakOff has watches of the v2 API broken off, if there are any.
func (p *Proxy) breakOff() {
	if !p.Tree() && p.o.Stale != nil {
		p.o.Stale()
	}
}

// forget ends what lose has begun.
func (p *Proxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost != nil {
		p.lost.timer.Stop()
		p.lost = nil
	}
	p.stale.Store(false)
}
