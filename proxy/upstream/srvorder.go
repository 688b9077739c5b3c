package upstream

import (
	"cmp"
	"hash/maphash"
	"math"
	"slices"
)

// member is what DNS tells of one endpoint.
type srvTarget struct {
	at                     Endpoint
	port, priority, weight uint16
	local                  bool
}

// inOrder is the order in which members are preferred. An endpoint that is named
// twice has its best place.
func preferenceOrder(members []srvTarget, draw maphash.Seed) []Endpoint {
	slices.SortFunc(members, func(a, b srvTarget) int {
		if a.local != b.local {
			// The local member before all others: the way to it is the shortest, and
			// it fails together with this machine.
			if a.local {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.rank(draw), b.rank(draw)), cmp.Compare(a.at.text, b.at.text))
	})
	var endpoints []Endpoint
	for _, m := range members {
		if !slices.Contains(endpoints, m.at) {
			endpoints = append(endpoints, m.at)
		}
	}
	return endpoints
}

// lot is a member's lot in the choice by weight of RFC 2782; the lowest comes
// first. Exponentially distributed lots whose rate is the weight come in the same
// orders, with the same chances, as the RFC's repeated draw. Each depends on
// nothing but its own member and the draw: asked again, the order is the same, and
// a member that comes or goes does not move the others.
func (m *srvTarget) rank(draw maphash.Seed) float64 {
	// Above 0 and below 1, from the 53 bits that a float64 can hold.
	uniform := (float64(maphash.String(draw, m.at.text)>>11) + 0.5) / (1 << 53)
	// A weight of 0 has "a very small chance"; among equals it has an equal one.
	return -math.Log(uniform) / max(float64(m.weight), 0.01)
}
