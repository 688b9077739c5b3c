package shadow

import (
	"slices"
	"strconv"
	"strings"

	"etcd-tlsproxy/proxy/v2v3/layout"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

// place says which index of the v2 API the tree has, and what changed it lately.
type place struct {
	generation string
	// copied is the index of the copy, and index that of the last event of which everything was applied.
	copied, index uint64
	// settled is the index up to which it is known that no other event follows.
	settled uint64
	// touches are the last changes, in the order of their indexes. All after the index from are there.
	touches []touch
	from    uint64
	// gap is the last index that had no event; 0 if none is known.
	gap uint64
}

// touch is a change of a node.
type touch struct {
	index uint64
	key   string
}

// maxTouches is how many of them are kept.
const maxTouches = 8192

// originPart is what the origins of batches begin with. The index of their last event follows.
const originPart = "shadow."

func originOf(index uint64) string { return originPart + strconv.FormatUint(index, 10) }

// indexOf reads an origin. The origin of a mark, and of a change that no shadow made, has no index.
func indexOf(origin string) (index uint64, ok bool) {
	text, ok := strings.CutPrefix(origin, originPart)
	if !ok {
		return 0, false
	}
	index, err := strconv.ParseUint(text, 10, 64)
	return index, err == nil
}

// load begins with a tree whose past is not known.
func (p *place) load(m *mirror.Mirror) {
	*p = place{generation: m.Meta.Generation, copied: m.Meta.Copied, index: m.Meta.Copied}
	if entry, err := layout.DecodeEntry(m.Log); err == nil {
		if index, ok := indexOf(entry.Origin); ok {
			p.index = index
		}
	}
	p.settled, p.from = p.index, p.index
}

// apply takes note of changes at an index.
func (p *place) apply(index uint64, keys []string) {
	if index > p.index+1 {
		p.gap = index - 1
	}
	p.index = index
	p.settled = max(p.settled, index)
	if len(p.touches) >= maxTouches {
		half := len(p.touches) / 2
		p.from = p.touches[half-1].index
		p.touches = append(p.touches[:0], p.touches[half:]...)
	}
	for _, key := range keys {
		p.touches = append(p.touches, touch{index, key})
	}
}

// untouched reports whether nothing that an answer about a key can show has changed since an index.
func (p *place) untouched(key string, since uint64) bool {
	if since < p.from {
		return false
	}
	for _, t := range slices.Backward(p.touches) {
		if t.index <= since {
			return true
		}
		if within(t.key, key) || within(key, t.key) {
			return false
		}
	}
	return true
}

// within reports whether a key is another one, or below it.
func within(key, above string) bool {
	rest, found := strings.CutPrefix(key, above)
	return found && (rest == "" || rest[0] == '/')
}

// unseen reports whether an index can be that of a change without an event, which a refresh is.
func (p *place) unseen(index uint64) bool {
	if index <= p.copied {
		return false
	}
	_, found := slices.BinarySearchFunc(p.touches, index, func(t touch, index uint64) int {
		switch {
		case t.index < index:
			return -1
		case t.index > index:
			return 1
		}
		return 0
	})
	return !found
}
