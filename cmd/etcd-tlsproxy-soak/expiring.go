package main

import (
	"fmt"
	"net/url"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// maxLate is how long after its time a key may expire, outages not counted. With a v3 store another proxy must have
// taken over, and it waits until the session of one that died is over.
const maxLate = 25 * time.Second

// writeExpiring writes keys with a time to live, and waits until they expire.
func (c *client) writeExpiring() {
	for n := 0; c.isWorking(); n++ {
		key, value, ttl := fmt.Sprintf("/soak/expiring/%d-%d", c.id, n), fmt.Sprintf("expiring-%d-%d", c.id, n), 1+c.random.IntN(3)
		form := url.Values{"value": {value}, "ttl": {fmt.Sprint(ttl)}}
		r := &transport.Request{Method: "PUT", Target: key, User: "worker", Form: form.Encode()}
		sent := time.Now()
		if got, outcome := c.do(r, 201); outcome == done && c.checkWrite(r, got, "set", key, value) {
			answered := time.Now()
			lifetime := time.Duration(ttl) * time.Second
			if c.awaitExpiry(key, value, got.Node.ModifiedIndex) {
				c.checkExpiry(r, time.Since(sent), time.Since(answered)-c.outages.Duration(answered, time.Now()), lifetime)
			}
		}
	}
}

// checkExpiry checks how long a key has lived: at most the one time, since it was sent, and at least the
// other, since it was acknowledged.
func (c *client) checkExpiry(r *transport.Request, most, least, lifetime time.Duration) {
	late := least - lifetime
	c.findings.RecordDelay("a key that is due expires", late)
	if most < lifetime {
		c.mismatch("%v: the key expired %v after it was sent, want not before its ttl, %v", r, most, lifetime)
	}
	if late > maxLate {
		c.mismatch("%v: the key expired %v late, want at most %v", r, late.Round(time.Millisecond), maxLate)
	}
}

// awaitExpiry waits until a key expires, and reports whether it did.
func (c *client) awaitExpiry(key, value string, index uint64) bool {
	for c.isWorking() {
		r := &transport.Request{Method: "GET", Target: fmt.Sprintf("%s?wait=true&waitIndex=%d", key, index+1)}
		got, outcome := c.do(r, 200, 400)
		switch {
		case outcome != done:
			continue
		case got.Status == 200:
			if got.Action != "expire" || got.Node == nil || got.Node.Key != key || got.PrevNode == nil || got.PrevNode.Value != value {
				c.mismatch("%v: got %.300s, want that it expires with the value %s", r, got.Body, value)
			}
			return true
		}
		// Its event is forgotten, so it may have expired.
		got, outcome = c.do(&transport.Request{Method: "GET", Target: key + "?quorum=true"}, 200, 404)
		if outcome == done && got.Status == 404 {
			return true
		}
	}
	return false
}
