package shadow

import (
	"fmt"
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
	// partial means that a part of the next event was applied.
	partial bool
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

// originPart is what the origins of events begin with. The index follows, and a dash if more is to come.
const originPart = "shadow."

func originOf(index uint64, partial bool) string {
	if partial {
		return fmt.Sprint(originPart, index, "-")
	}
	return fmt.Sprint(originPart, index)
}

// indexOf reads an origin. The origin of a mark, and of a change that no shadow made, has no index.
func indexOf(origin string) (index uint64, partial, ok bool) {
	text, ok := strings.CutPrefix(origin, originPart)
	if !ok {
		return 0, false, false
	}
	text, partial = strings.CutSuffix(text, "-")
	index, err := strconv.ParseUint(text, 10, 64)
	return index, partial, err == nil
}

// load begins with a tree whose past is not known.
func (p *place) load(m *mirror.Mirror) {
	*p = place{generation: m.Meta.Generation, copied: m.Meta.Copied, index: m.Meta.Copied}
	if entry, err := layout.DecodeEntry(m.Log); err == nil {
		if index, partial, ok := indexOf(entry.Origin); ok {
			p.set(index, partial)
		}
	}
	p.settled, p.from = p.index, p.index
	if p.partial {
		p.from++ // what was applied of the next event is not known
	}
}

// set takes note of the index of a change.
func (p *place) set(index uint64, partial bool) {
	if p.partial = partial; partial {
		index--
	}
	p.index = index
	p.settled = max(p.settled, index)
}

// apply takes note of a change at an index.
func (p *place) apply(index uint64, partial bool, key string) {
	if !p.partial && index > p.index+1 {
		p.gap = index - 1
	}
	p.set(index, partial)
	if len(p.touches) >= maxTouches {
		half := len(p.touches) / 2
		p.from = p.touches[half-1].index
		p.touches = append(p.touches[:0], p.touches[half:]...)
	}
	p.touches = append(p.touches, touch{index, key})
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
