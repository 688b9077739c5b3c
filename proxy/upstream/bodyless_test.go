package upstream

import (
	"testing"
	"time"
)

// TestBytesBehindAnAnswerWithoutABodyFailIt: such bytes can be the answer to another request, so
// the one in front of them cannot be trusted either.
func TestBytesBehindAnAnswerWithoutABodyFailIt(t *testing.T) {
	for what, head := range map[string]string{
		"a length of 0": "HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nContent-Length: 0\r\n\r\n",
		"no content":    "HTTP/1.1 204 No Content\r\n\r\n",
		"not modified":  "HTTP/1.1 304 Not Modified\r\n\r\n",
	} {
		for surplus, fails := range map[string]bool{"": false, ok: true, "x": true} {
			s := serve(t, func(c *session) {
				for {
					if _, more := c.request(); !more {
						return
					}
					c.say(head + surplus)
				}
			})
			p := newPool(t, Options{}, s.endpoint())
			for _, method := range []string{"GET", "PUT"} {
				body, kind := exchange(t, p, method)
				if (kind != -1) != fails || body != "" {
					t.Errorf("%s answered with %s and the bytes %q behind it: got the body %q and the kind %v, want a failure: %t", method, what, surplus, body, kind, fails)
				}
			}
			if n := p.count.Idle.Load(); fails && n != 0 {
				t.Errorf("idle connections after %s with the bytes %q behind it: got %d, want none", what, surplus, n)
			}
			p.Close()
			s.stop()
		}
	}
}

func TestOnlyConnectionsThatWereIdleForTooLongAreClosed(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{MaxIdle: 3, IdleTimeout: time.Minute}, s.endpoint())
	leaveIdle(t, p, 3)
	e := p.endpoints[0]
	e.mu.Lock()
	e.idle[0].since = time.Now().Add(-time.Hour)
	kept := append([]*conn(nil), e.idle[1:]...)
	e.mu.Unlock()
	e.closeOld()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.idle) != 2 || e.idle[0] != kept[0] || e.idle[1] != kept[1] || p.count.Idle.Load() != 2 {
		t.Errorf("idle connections after the oldest of 3 was closed: got %d, and the count %d, want the other 2", len(e.idle), p.count.Idle.Load())
	}
	if e.expiry == nil {
		t.Error("the timer of the next connections: got none, want one")
	}
}
