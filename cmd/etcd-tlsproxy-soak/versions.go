package main

import (
	"net/url"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/check"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// writeVersions writes new versions of the keys that only this client writes.
func (c *client) writeVersions() {
	for c.isWorking() {
		k := c.id + check.VersionWriters*c.random.IntN(check.VersionedKeys/check.VersionWriters)
		version := c.versions.Next(k)
		before := c.versions.Acknowledged(k)
		key, value := check.VersionedKey(k), check.VersionedValue(k, version)
		r := &transport.Request{Method: "PUT", Target: key, User: "worker", Form: url.Values{"value": {value}}.Encode()}
		got, outcome := c.do(r, 200, 201)
		switch {
		case outcome == unsent:
			c.versions.Refute(k, version)
		case outcome == unknown:
			// If etcd still carries it out, that must be over before the next version is sent.
			c.settle()
		case outcome == done && c.checkWrite(r, got, "set", key, value):
			c.checkReplaced(r, got, k, before, version)
			c.versions.Acknowledge(k, version)
		}
		c.pause(20)
	}
}

// settle waits until etcd is back and has carried out everything that it has received: a
// quorum read goes through its log.
func (c *client) settle() {
	for c.outages.Ongoing() && c.isWorking() {
		c.backOff()
	}
	c.do(&transport.Request{Method: "GET", Target: "/soak/tagged?quorum=true"}, 200, 404)
}

// checkReplaced checks the value that a write replaced, according to etcd.
func (c *client) checkReplaced(r *transport.Request, got *transport.Answer, k int, before, version int64) {
	replaced := int64(0)
	if got.PrevNode != nil {
		var ok bool
		if replaced, ok = check.ParseVersion(k, got.PrevNode.Value); !ok {
			c.mismatch("%v replaced %.100q, which was never written there", r, got.PrevNode.Value)
			return
		}
	}
	if replaced < before || replaced >= version || c.versions.Refuted(k, replaced) {
		c.mismatch("%v of version %d replaced version %d, although %d was acknowledged before, or the replaced one was not carried out", r, version, replaced, before)
	}
}

// readVersions reads single keys and the whole folder, with and without quorum.
func (c *client) readVersions() {
	for c.isWorking() {
		c.readVersion(c.versionRead())
		c.pause(10)
	}
}

// allKeys, in place of the number of a key, means the whole folder.
const allKeys = -1

// versionRead draws a read of a key, or of all keys.
func (c *client) versionRead() (r *transport.Request, k int) {
	k = c.random.IntN(check.VersionedKeys)
	r = &transport.Request{Method: "GET", Target: check.VersionedKey(k)}
	switch c.random.IntN(8) {
	case 0, 1:
		r.Target += "?quorum=true"
	case 2:
		r.Method = "HEAD"
	case 3, 4:
		r.Target, k = "/soak/tagged?recursive=true&sorted=true", allKeys
	case 5:
		r.User, r.Secret = "worker", "is not verified, because everyone may read"
	}
	return r, k
}

func (c *client) readVersion(r *transport.Request, k int) {
	index, floors := c.index.Load(), c.versions.Floors()
	if got, outcome := c.do(r, 200, 404); outcome == done {
		c.checkVersions(r, got, k, index, floors)
	}
}

// checkVersions compares an answer with what was acknowledged before the request.
func (c *client) checkVersions(r *transport.Request, got *transport.Answer, k int, index uint64, floors [check.VersionedKeys]int64) {
	switch {
	case !c.checkFresh(r, got, index) || r.Method == "HEAD":
	case k != allKeys:
		c.checkVersion(r, got.Node, k, floors[k])
	default:
		found := make(map[string]*transport.Node)
		if got.Node != nil {
			for _, n := range got.Node.Nodes {
				found[n.Key] = n
			}
		}
		for k, floor := range floors {
			c.checkVersion(r, found[check.VersionedKey(k)], k, floor)
			delete(found, check.VersionedKey(k))
		}
		for key := range found {
			c.mismatch("%v shows %s, which was never written", r, key)
		}
	}
}

func (c *client) checkVersion(r *transport.Request, n *transport.Node, k int, floor int64) {
	version := int64(0)
	if n != nil {
		var ok bool
		if version, ok = check.ParseVersion(k, n.Value); !ok || n.Key != check.VersionedKey(k) {
			c.mismatch("%v shows %.100q as %s, which was never written there", r, n.Value, n.Key)
			return
		}
	}
	if c.versions.Refuted(k, version) {
		c.findings.GhostWrite(c.name(), "%v: got version %d, which was not carried out", r, version)
		return
	}
	if newest := c.versions.Newest(k); version < floor || version > newest {
		c.mismatch("%v: got version %d, want at least %d, which was acknowledged before the request, and at most %d, the newest", r, version, floor, newest)
	}
}
