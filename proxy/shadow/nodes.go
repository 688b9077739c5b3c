package shadow

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

// nodes compares the nodes of two answers. The first difference counts.
type nodes struct {
	sample *Sample
	place  *place
	kind   Kind
	what   string
	// refreshed means that a node was left out because of a refresh.
	refreshed bool
}

func (c *nodes) differ(kind Kind, form string, args ...any) {
	if c.kind == "" {
		c.kind, c.what = kind, fmt.Sprintf(form, args...)
	}
}

// compare compares a node of the v2 API with one of the shadow, and what is below it. Of the v2 API's listing the
// order does not matter.
func (c *nodes) compare(name string, got, want *v2store.Node) {
	switch {
	case c.kind != "" || got == nil && want == nil:
		return
	case got == nil:
		c.differ(Nodes, "only the shadow has the %s", name)
		return
	case want == nil:
		c.differ(Nodes, "only the v2 API has the %s", name)
		return
	case got.Key != want.Key && strings.Trim(got.Key+want.Key, "/") != "":
		c.differ(Nodes, "the %s has another key", name)
		return
	case got.Dir != want.Dir:
		c.differ(Nodes, "the %s is a directory in one of them, and a file in the other", name)
		return
	case (got.Value == nil) != (want.Value == nil) || got.Value != nil && *got.Value != *want.Value:
		c.differ(Value, "the value of the %s differs", name)
		return
	}
	if c.isRefreshed(got, want) {
		c.refreshed = true
	} else {
		c.compareIndexes(name, got, want)
		c.compareExpiry(name, got, want)
	}
	c.compareBelow(got, want)
}

// isRefreshed reports whether a file was refreshed, of which no event tells.
func (c *nodes) isRefreshed(got, want *v2store.Node) bool {
	return !got.Dir && got.ModifiedIndex > want.ModifiedIndex && c.place.unseen(got.ModifiedIndex)
}

func (c *nodes) compareIndexes(name string, got, want *v2store.Node) {
	if got.ModifiedIndex != want.ModifiedIndex {
		c.differ(Index, "the modifiedIndex of the %s is %d, and that of the shadow %d", name, got.ModifiedIndex, want.ModifiedIndex)
	}
	switch {
	case got.CreatedIndex == want.CreatedIndex:
	case got.CreatedIndex > want.CreatedIndex && c.place.unseen(got.CreatedIndex):
		c.refreshed = true // before the change, which kept it
	default:
		c.differ(Index, "the createdIndex of the %s is %d, and that of the shadow %d", name, got.CreatedIndex, want.CreatedIndex)
	}
}

// compareExpiry compares the time at which a node expires, and what the v2 API says is left.
func (c *nodes) compareExpiry(name string, got, want *v2store.Node) {
	if got.Expiration == nil && want.Expiration == nil {
		return
	}
	if got.Dir && c.place.gap > c.place.copied && !sameTime(got.Expiration, want.Expiration, time.Second) {
		c.refreshed = true // perhaps: the index of a directory does not show its refresh
		return
	}
	took := c.sample.ended.Sub(c.sample.began)
	switch {
	case got.Expiration == nil || want.Expiration == nil:
		c.differ(Expiry, "the %s expires in only one of them", name)
	case !sameTime(got.Expiration, want.Expiration, time.Second+took):
		c.differ(Expiry, "the %s expires %s apart", name, got.Expiration.Sub(*want.Expiration).Round(time.Millisecond))
	default:
		left := got.Expiration.Sub(c.sample.ended)
		if off := time.Duration(got.TTL)*time.Second - left; off < -time.Second || off > 2*time.Second+took {
			c.differ(Expiry, "the ttl of the %s is not the time that is left, by %s", name, off.Round(time.Millisecond))
		}
	}
}

func sameTime(a, b *time.Time, within time.Duration) bool {
	return a != nil && b != nil && a.Sub(*b).Abs() <= within
}

// compareBelow compares the nodes in a directory.
func (c *nodes) compareBelow(got, want *v2store.Node) {
	listed := slices.Clone(got.Nodes)
	slices.SortFunc(listed, byKey)
	others := slices.Clone(want.Nodes)
	slices.SortFunc(others, byKey)
	for i := range max(len(listed), len(others)) {
		switch {
		case i >= len(listed) || i < len(others) && listed[i].Key > others[i].Key:
			c.differ(Nodes, "only the shadow lists %q", clip(others[i].Key))
		case i >= len(others) || listed[i].Key < others[i].Key:
			c.differ(Nodes, "only the v2 API lists %q", clip(listed[i].Key))
		default:
			c.compare(fmt.Sprintf("node %q", clip(listed[i].Key)), listed[i], others[i])
		}
		if c.kind != "" {
			return
		}
	}
}

func byKey(a, b *v2store.Node) int { return strings.Compare(a.Key, b.Key) }

// clip bounds a key that is shown.
func clip(key string) string { return key[:min(len(key), maxKey)] }
