package v2store

import (
	"encoding/json"
	"strconv"
	"sync"
	"time"
)

// Answer answers a read as of a time. It is that of [Tree.Get], and faster: bodies about
// directories are kept until something in them changes. The body must not be changed. One that may be
// large is not rendered yet.
func (t *Tree) Answer(o *Operation, now time.Time) Answer {
	n, err := t.find(o.Key)
	if err != nil {
		return err.Answer()
	}
	var expires bool
	large := n.bound(o.Recursive) > maxAtOnce
	if !n.dir() {
		if large {
			return Answer{Status: 200, Index: t.index, Large: t.newLarge(n, false, now)}
		}
		return Answer{Status: 200, Index: t.index, Body: n.body(fileSize+len(n.key)+len(n.value), false, now, &expires)}
	}
	way := wayOf(o.Recursive)
	kept := &n.contents.bodies[way]
	if body := kept.Load(); body != nil {
		return Answer{Status: 200, Index: t.index, Body: *body}
	}
	if large {
		return Answer{Status: 200, Index: t.index, Large: t.newLarge(n, o.Recursive, now)}
	}
	// The body is often about as long as the one before the change.
	size := &n.contents.sizes[way]
	body := n.body(fileSize+int(size.Load()), o.Recursive, now, &expires)
	size.Store(int64(len(body)))
	if !expires && t.kept.add(n, len(body)) {
		kept.Store(&body)
	}
	return Answer{Status: 200, Index: t.index, Body: body}
}

// wayOf returns the place of the body of a read.
func wayOf(recursive bool) int {
	if recursive {
		return 1
	}
	return 0
}

// fileSize is what an answer about a file has besides its key and value: braces, the names of
// fields, and numbers.
const fileSize = 160

// maxKept bounds the bytes of the bodies that are kept.
const maxKept = 32 << 20

// kept are the directories whose bodies are kept. Readers add to it at the same time.
type kept struct {
	mu    sync.Mutex
	dirs  []*node
	bytes int
}

// add makes room for a body. It reports whether there is any.
func (k *kept) add(n *node, bytes int) bool {
	if bytes > maxKept/4 {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	// The bytes of bodies that were dropped meanwhile count until all are dropped.
	if k.bytes += bytes; k.bytes > maxKept {
		for _, dir := range k.dirs {
			dir.drop()
		}
		k.dirs, k.bytes = k.dirs[:0], bytes
	}
	k.dirs = append(k.dirs, n)
	return true
}

func (k *kept) size() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.bytes
}

// drop drops the bodies of a directory.
func (d *node) drop() {
	d.contents.bodies[0].Store(nil)
	d.contents.bodies[1].Store(nil)
}

// changed drops the bodies that show a node.
func (n *node) changed() {
	for d := n; d != nil; d = d.parent {
		if d.dir() {
			d.drop()
			d.contents.changes++
		}
	}
}

// body renders the answer to a read, of which it is known about how long it is. It reports whether the
// body shows an expiry.
func (n *node) body(size int, recursive bool, now time.Time, expires *bool) []byte {
	b := append(make([]byte, 0, size), `{"action":"get","node":`...)
	b = n.append(b, 1, recursive, now, expires)
	return append(b, "}\n"...)
}

// append appends the node as JSON, as [Node] is encoded, with the nodes in it if levels is not 0.
func (n *node) append(b []byte, levels int, recursive bool, now time.Time, expires *bool) []byte {
	b = append(b, '{')
	if n.key != "" {
		b = appendString(append(b, `"key":`...), n.key)
		b = append(b, ',')
	}
	if n.dir() {
		b = append(b, `"dir":true`...)
	} else {
		b = appendString(append(b, `"value":`...), n.value)
	}
	if n.expires != 0 {
		*expires = true
		b = appendExpiry(b, n.expires, now)
	}
	if n.dir() && levels > 0 {
		b = n.appendNodes(b, levels, recursive, now, expires)
	}
	return append(appendIndexes(b, n.modified, n.created), '}')
}

func (n *node) appendNodes(b []byte, levels int, recursive bool, now time.Time, expires *bool) []byte {
	if !recursive {
		levels--
	}
	before := len(b)
	for _, child := range n.contents.nodes {
		if child.hidden() {
			continue
		}
		if len(b) == before {
			b = append(b, `,"nodes":[`...)
		} else {
			b = append(b, ',')
		}
		b = child.append(b, levels, recursive, now, expires)
	}
	if len(b) > before {
		b = append(b, ']')
	}
	return b
}

// appendExpiry appends the fields of a node that expires, behind others.
func appendExpiry(b []byte, expires int64, now time.Time) []byte {
	var v Node
	v.expire(expires, now)
	b = v.Expiration.AppendFormat(append(b, `,"expiration":"`...), time.RFC3339Nano)
	b = append(b, '"')
	if v.TTL != 0 {
		b = strconv.AppendInt(append(b, `,"ttl":`...), v.TTL, 10)
	}
	return b
}

// appendIndexes appends the indexes of a node, behind other fields. Zero is left out.
func appendIndexes(b []byte, modified, created uint64) []byte {
	if modified != 0 {
		b = strconv.AppendUint(append(b, `,"modifiedIndex":`...), modified, 10)
	}
	if created != 0 {
		b = strconv.AppendUint(append(b, `,"createdIndex":`...), created, 10)
	}
	return b
}

// plain are the bytes that JSON and HTML have no other way to write.
var plain = func() (plain [256]bool) {
	for c := byte(' '); c <= '~'; c++ {
		plain[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return plain
}()

// appendString appends a string as JSON with HTML escaping.
func appendString(b []byte, s string) []byte {
	return append(appendEscaped(append(b, '"'), s), '"')
}

// appendEscaped is appendString without the quotes.
func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		if !plain[s[i]] {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic("BUG: encoding a string: " + err.Error())
			}
			return append(b, quoted[1:len(quoted)-1]...)
		}
	}
	return append(b, s...)
}
