package v2store

import "unicode/utf8"

// Size returns the most bytes that the answer to a read needs. It takes no longer for a large tree
// than for a small one.
func (t *Tree) Size(o *Operation) int {
	n, err := t.find(o.Key)
	if err != nil {
		return 0
	}
	return n.bound(o.Recursive)
}

const (
	// answerFrame is what an answer has around its node.
	answerFrame = len(`{"action":"get","node":}` + "\n")
	// nodeFrame is the most that a node has beside its key, its value and what is in it. Indexes have
	// up to 20 digits.
	nodeFrame = len(`{"key":,"dir":true,"nodes":[],"modifiedIndex":,"createdIndex":},`) + 2*20
	// expiryFrame is the most that a node has about its expiry.
	expiryFrame = len(`"expiration":"2006-01-02T15:04:05.999999999Z","ttl":,`) + 20
)

// bound returns the most bytes that an answer about a node needs.
func (n *node) bound(recursive bool) int {
	switch {
	case !n.dir():
		return answerFrame + n.size
	case recursive:
		return answerFrame + n.size + n.contents.below
	}
	return answerFrame + n.size + n.contents.shown
}

// resize computes the size of a node anew, for itself and for the directories that show it.
func (n *node) resize() {
	before := n.size
	n.size = nodeFrame + quoted(n.key) + quoted(n.value)
	if n.expires != 0 {
		n.size += expiryFrame
	}
	n.show(n.size-before, 0)
}

// unshow takes a node with all that is below it out of the sizes of the directories above.
func (n *node) unshow() {
	below := 0
	if n.dir() {
		below = n.contents.below
	}
	n.show(-n.size, -below)
}

// show changes the sizes of the directories that show a node by what it needs itself, and by what
// is below it.
func (n *node) show(own, below int) {
	if n.hidden() {
		return
	}
	n.parent.contents.shown += own
	for d := n.parent; ; d = d.parent {
		d.contents.below += own + below
		if d.parent == nil || d.hidden() {
			return
		}
	}
}

// Removes returns how many nodes a change removes. It takes no longer for a large tree than for a
// small one.
func (c *Change) Removes(t *Tree) int {
	n, err := t.find(c.Key)
	if c.Put != nil || err != nil {
		return 0
	}
	return 1 + n.below()
}

// below returns the number of nodes below a node.
func (n *node) below() int {
	if !n.dir() {
		return 0
	}
	return n.contents.count
}

// count changes the number of nodes below all directories above a node.
func (n *node) count(nodes int) {
	for d := n.parent; d != nil; d = d.parent {
		d.contents.count += nodes
	}
}

// quoted returns the bytes of a string in JSON with HTML escaping.
func quoted(s string) int {
	n := len(`""`)
	for i := 0; i < len(s); {
		if b := s[i]; b < utf8.RuneSelf {
			n += int(widths[b])
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			size = len(`\u2028`)
		}
		n += size
	}
	return n
}

// widths are the bytes that JSON needs for each byte of ASCII.
var widths = func() (widths [utf8.RuneSelf]uint8) {
	for b := range widths {
		switch c := byte(b); {
		case plain[c], c == 0x7f:
			widths[b] = 1
		case c == '"', c == '\\', c == '\b', c == '\f', c == '\n', c == '\r', c == '\t':
			widths[b] = 2
		default:
			widths[b] = 6
		}
	}
	return widths
}()
