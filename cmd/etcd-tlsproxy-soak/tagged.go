package main

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
)

// tagged are keys whose values tell which key and version they are.
type tagged struct {
	sent, acked [taggedKeys]atomic.Int64
}

const (
	taggedKeys    = 16
	taggedWriters = 4
)

func taggedKey(k int) string { return fmt.Sprintf("/soak/tagged/k%02d", k) }

// taggedValue is different for each key and version in all of its length. Some are
// larger than any buffer on the way.
func taggedValue(k int, version int64) string {
	if version == 0 {
		return ""
	}
	head := fmt.Sprintf("k%02d v%d ", k, version)
	length := int(version*7919+int64(k)*101) % 2000
	if version%101 == 0 {
		length = 150_000
	}
	return head + strings.Repeat(head, length/len(head))
}

// versionOf reads a value back; ok is false if it was never written to that key.
func versionOf(k int, value string) (version int64, ok bool) {
	var key int
	if _, err := fmt.Sscanf(value, "k%d v%d ", &key, &version); err != nil {
		return 0, false
	}
	return version, key == k && value == taggedValue(k, version)
}

// writeTagged writes the keys that are this client's own.
func (a *actor) writeTagged() {
	for a.working() {
		k := a.id + taggedWriters*a.random.IntN(taggedKeys/taggedWriters)
		version := a.tagged.sent[k].Add(1)
		before := a.tagged.acked[k].Load()
		value := taggedValue(k, version)
		r := &request{method: "PUT", target: taggedKey(k), user: "worker", form: url.Values{"value": {value}}.Encode()}
		got, outcome := a.do(r, 200, 201)
		switch {
		case outcome == unknown:
			// If it still is on its way it must be over before the next version is sent.
			a.settle()
		case outcome == done && a.wrote(r, got, "set", taggedKey(k), value):
			a.checkBefore(r, got, k, before, version)
			a.tagged.acked[k].Store(version)
		}
		a.pace(20)
	}
}

// settle waits until etcd is back, and then reads through its log.
func (a *actor) settle() {
	for a.outages.now() && a.working() {
		a.rest()
	}
	a.do(&request{method: "GET", target: "/soak/tagged?quorum=true"}, 200, 404)
}

// checkBefore looks at the value that etcd says was replaced.
func (a *actor) checkBefore(r *request, got *answer, k int, before, version int64) {
	found := int64(0)
	if got.PrevNode != nil {
		var ok bool
		if found, ok = versionOf(k, got.PrevNode.Value); !ok {
			a.wrong("%v replaced %.100q, which was never written there", r, got.PrevNode.Value)
			return
		}
	}
	if found < before || found >= version {
		a.wrong("%v of version %d replaced version %d, and %d was acknowledged before", r, version, found, before)
	}
}

// floors is what was acknowledged by now.
func (t *tagged) floors() (floors [taggedKeys]int64) {
	for k := range t.acked {
		floors[k] = t.acked[k].Load()
	}
	return floors
}

// readTagged reads single keys and the whole tree, with and without quorum.
func (a *actor) readTagged() {
	for a.working() {
		a.readOne(a.taggedRead())
		a.pace(10)
	}
}

// taggedRead draws a read; k is below zero if it is of all keys.
func (a *actor) taggedRead() (r *request, k int) {
	k = a.random.IntN(taggedKeys)
	r = &request{method: "GET", target: taggedKey(k)}
	switch a.random.IntN(8) {
	case 0, 1:
		r.target += "?quorum=true"
	case 2:
		r.method = "HEAD"
	case 3, 4:
		r.target, k = "/soak/tagged?recursive=true&sorted=true", -1
	case 5:
		r.user, r.secret = "worker", "not looked at, because all may read"
	}
	return r, k
}

func (a *actor) readOne(r *request, k int) {
	index, floors := a.index.Load(), a.tagged.floors()
	if got, outcome := a.do(r, 200, 404); outcome == done {
		a.checkTagged(r, got, k, index, floors)
	}
}

// checkTagged compares an answer with what was acknowledged before the request.
func (a *actor) checkTagged(r *request, got *answer, k int, index uint64, floors [taggedKeys]int64) {
	switch {
	case !a.fresh(r, got, index) || r.method == "HEAD":
	case k >= 0:
		a.checkVersion(r, got.Node, k, floors[k])
	default:
		seen := make(map[string]*node)
		if got.Node != nil {
			for _, n := range got.Node.Nodes {
				seen[n.Key] = n
			}
		}
		for k, floor := range floors {
			a.checkVersion(r, seen[taggedKey(k)], k, floor)
			delete(seen, taggedKey(k))
		}
		for key := range seen {
			a.wrong("%v shows %s, which nobody wrote", r, key)
		}
	}
}

func (a *actor) checkVersion(r *request, n *node, k int, floor int64) {
	version := int64(0)
	if n != nil {
		var ok bool
		if version, ok = versionOf(k, n.Value); !ok || n.Key != taggedKey(k) {
			a.wrong("%v shows %.100q as %s, which was never written there", r, n.Value, n.Key)
			return
		}
	}
	if ceiling := a.tagged.sent[k].Load(); version < floor || version > ceiling {
		a.wrong("%v shows version %d; %d was acknowledged before it was sent, and %d is the newest", r, version, floor, ceiling)
	}
}
