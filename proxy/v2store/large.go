package v2store

import (
	"io"
	"math"
	"time"
	"unicode/utf8"
)

const (
	// maxAtOnce is the size up to which a body is rendered while the tree must not change. All others
	// wait so long when the next change is due.
	maxAtOnce = 256 << 10
	// pieceSize is about how many bytes of a large answer are rendered at a time, and valuePiece how
	// many bytes of a value.
	pieceSize  = 32 << 10
	valuePiece = 4 << 10
)

// Large renders the large answer to a read. It remembers the nodes as they were, which takes
// little time and, beside values that the tree has as well, little memory. It needs the tree
// no more. Its methods must not be called concurrently.
type Large struct {
	tree      *Tree
	node      *node
	recursive bool
	changes   uint64 // of the directory, when the nodes were remembered
	expires   bool   // some node shows an expiry
	size      int    // the most bytes
	now       time.Time

	nodes []remembered // in the order in which they begin
	next  int
	value string // what is left of the value of the last one
	open  []int  // the directories that have not ended, by their places
	piece []byte // is rendered and was not read
	buf   []byte // of the piece
	began bool
	ended bool
}

// remembered is a node as it was.
type remembered struct {
	key, value        string
	created, modified uint64
	expires           int64
	level             int32
	dir, parent       bool // it is a directory, and has nodes that are shown
}

// newLarge remembers what a read shows.
func (t *Tree) newLarge(n *node, recursive bool, now time.Time) *Large {
	l := &Large{tree: t, node: n, recursive: recursive, size: n.bound(recursive), now: now}
	levels := int32(0)
	if n.dir() {
		l.changes = n.contents.changes
		if levels = 1; recursive {
			levels = maxLevels
		}
	}
	l.remember(n, 0, levels)
	return l
}

// maxLevels is more than any tree has.
const maxLevels = 1 << 30

func (l *Large) remember(n *node, level, levels int32) {
	at := len(l.nodes)
	l.nodes = append(l.nodes, remembered{key: n.key, value: n.value, created: n.created, modified: n.modified, expires: n.expires, level: level, dir: n.dir()})
	l.expires = l.expires || n.expires != 0
	if !n.dir() || level == levels {
		return
	}
	for _, child := range n.contents.nodes {
		if !child.hidden() {
			l.nodes[at].parent = true
			l.remember(child, level+1, levels)
		}
	}
}

// Size returns the most bytes that the body has.
func (l *Large) Size() int { return l.size }

// Body returns the whole body.
func (l *Large) Body() []byte {
	return l.render(make([]byte, 0, l.size), math.MaxInt)
}

// Keep keeps a whole body for the next reads, unless it shows an expiry, or something in it has
// changed. It is called like a method of the tree that reads.
func (l *Large) Keep(body []byte) {
	if l.node.dir() && !l.expires && l.node.contents.changes == l.changes && l.tree.kept.add(l.node, len(body)) {
		l.node.contents.bodies[wayOf(l.recursive)].Store(&body)
	}
}

// Read reads the body piece by piece.
func (l *Large) Read(p []byte) (n int, err error) {
	if len(l.piece) == 0 {
		if l.ended {
			return 0, io.EOF
		}
		l.buf = l.render(l.buf[:0], pieceSize)
		l.piece = l.buf
	}
	n = copy(p, l.piece)
	l.piece = l.piece[n:]
	return n, nil
}

// render appends the next part of the body, until there are about so many bytes or it has ended.
func (l *Large) render(b []byte, enough int) []byte {
	if !l.began {
		b = append(b, `{"action":"get","node":`...)
		l.began = true
	}
	for len(b) < enough {
		switch {
		case l.value != "":
			b = l.appendValue(b)
		case l.next == len(l.nodes):
			l.ended = true
			b = l.close(b, 0)
			return append(b, "}\n"...)
		default:
			b = l.begin(b)
		}
	}
	return b
}

// begin appends the begin of the next node.
func (l *Large) begin(b []byte) []byte {
	n := &l.nodes[l.next]
	b = l.close(b, n.level)
	if l.next > 0 {
		if l.nodes[l.next-1].level < n.level {
			b = append(b, `,"nodes":[`...)
		} else {
			b = append(b, ',')
		}
	}
	b = append(b, '{')
	if n.key != "" {
		b = appendString(append(b, `"key":`...), n.key)
		b = append(b, ',')
	}
	l.open = append(l.open, l.next)
	l.next++
	if n.dir {
		return l.appendExpiry(append(b, `"dir":true`...), n)
	}
	b = append(b, `"value":"`...)
	if l.value = n.value; l.value == "" {
		b = l.appendExpiry(append(b, '"'), n)
	}
	return b
}

// appendValue appends the next piece of a value. A piece ends where a character does.
func (l *Large) appendValue(b []byte) []byte {
	end := len(l.value)
	if end > valuePiece {
		end = valuePiece
		for back := range utf8.UTFMax {
			if utf8.RuneStart(l.value[valuePiece-back]) {
				end = valuePiece - back
				break
			}
		}
	}
	b = appendEscaped(b, l.value[:end])
	if l.value = l.value[end:]; l.value == "" {
		b = l.appendExpiry(append(b, '"'), &l.nodes[l.next-1])
	}
	return b
}

func (l *Large) appendExpiry(b []byte, n *remembered) []byte {
	if n.expires == 0 {
		return b
	}
	return appendExpiry(b, n.expires, l.now)
}

// close appends the ends of the nodes at a level, and of those below.
func (l *Large) close(b []byte, level int32) []byte {
	for len(l.open) > 0 {
		n := &l.nodes[l.open[len(l.open)-1]]
		if n.level < level {
			return b
		}
		l.open = l.open[:len(l.open)-1]
		if n.parent {
			b = append(b, ']')
		}
		b = append(appendIndexes(b, n.modified, n.created), '}')
	}
	return b
}
