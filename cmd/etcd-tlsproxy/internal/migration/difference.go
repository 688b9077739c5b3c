package migration

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

// Differences are those between two trees.
type Differences struct {
	Count int `json:"count"`
	// First has the first of them.
	First []Difference `json:"first,omitempty"`
}

// Difference is one of them. It never contains a value, which may be secret.
type Difference struct {
	Key  string `json:"key"`
	What string `json:"what"`
}

// maxListed bounds the differences that are listed. Where there are more, the cause is one and the same.
const maxListed = 20

func (d *Differences) add(key, what string) {
	if d.Count++; d.Count <= maxListed {
		d.First = append(d.First, Difference{key, what})
	}
}

// compare compares all nodes of two trees, each of which has a key once.
func compare(want []v2store.Record, got iter.Seq[v2store.Record]) Differences {
	var d Differences
	wanted := make(map[string]*v2store.Record, len(want))
	for i := range want {
		wanted[want[i].Key] = &want[i]
	}
	for g := range got {
		w := wanted[g.Key]
		delete(wanted, g.Key)
		if w == nil {
			d.add(g.Key, "is there, and must not be")
		} else if what := differs(w, &g); what != "" {
			d.add(g.Key, what)
		}
	}
	for i := range want {
		if _, left := wanted[want[i].Key]; left {
			d.add(want[i].Key, "is missing")
		}
	}
	return d
}

// differs returns what of a node is not as it must be.
func differs(want, got *v2store.Record) string {
	switch {
	case want.Dir && !got.Dir:
		return "is a file, want a directory"
	case !want.Dir && got.Dir:
		return "is a directory, want a file"
	case want.Value != got.Value:
		return "has another value"
	case want.Created != got.Created:
		return fmt.Sprintf("has the createdIndex %d, want %d", got.Created, want.Created)
	case want.Modified != got.Modified:
		return fmt.Sprintf("has the modifiedIndex %d, want %d", got.Modified, want.Modified)
	case want.Expires != got.Expires:
		return fmt.Sprintf("expires %s, want %s", expiry(got.Expires), expiry(want.Expires))
	}
	return ""
}

func expiry(at int64) string {
	if at == 0 {
		return "never"
	}
	return time.Unix(0, at).UTC().Format(time.RFC3339Nano)
}

// hidden reports whether etcd lists a key: no part of it begins with an underscore then.
func hidden(key string) bool { return strings.Contains(key, "/_") }

// compareVisible compares what a member lists with all of its nodes. Etcd's answers have the replacement
// character instead of bytes that are not UTF-8.
func compareVisible(listed, all []v2store.Record) Differences {
	return compare(listed, func(yield func(v2store.Record) bool) {
		for r := range slices.Values(all) {
			if hidden(r.Key) {
				continue
			}
			r.Key, r.Value = string([]rune(r.Key)), string([]rune(r.Value))
			if !yield(r) {
				return
			}
		}
	})
}

// changes returns what has to be put and what has to be removed to make one tree of another.
func changes(from, to []v2store.Record) (put, gone []v2store.Record) {
	have := make(map[string]*v2store.Record, len(from))
	for i := range from {
		have[from[i].Key] = &from[i]
	}
	for i := range to {
		old := have[to[i].Key]
		delete(have, to[i].Key)
		if old != nil && old.Dir != to[i].Dir {
			gone = append(gone, *old)
		}
		if old == nil || differs(&to[i], old) != "" {
			put = append(put, to[i])
		}
	}
	for i := range from {
		if have[from[i].Key] != nil {
			gone = append(gone, from[i])
		}
	}
	return put, gone
}

// maxSkew is how far the clock of this machine may be behind that of etcd's leader, which decides what has expired.
const maxSkew = 2 * time.Second

// unexpired returns the keys of nodes that were removed and can have expired neither themselves nor with a
// directory above them.
func unexpired(gone []v2store.Record, now time.Time) (keys []string) {
	due := map[string]bool{}
	for _, r := range gone {
		if r.Expires != 0 && r.Expires <= now.Add(maxSkew).UnixNano() {
			due[r.Key] = true
		}
	}
	for _, r := range gone {
		at := r.Key
		for at != "" && !due[at] {
			at = at[:strings.LastIndexByte(at, '/')]
		}
		if at == "" {
			keys = append(keys, r.Key)
		}
	}
	return keys
}

// compareCopy compares all nodes of the v2 API with those of the tree, and returns how many are missing because they have
// expired. Indexes cannot be written, and an expiry in whole seconds only.
func compareCopy(want, got []v2store.Record, now time.Time) (d Differences, expired int) {
	due, wanted := expiriesOf(want), byKey(want)
	for i := range got {
		g := &got[i]
		w := wanted[g.Key]
		delete(wanted, g.Key)
		switch {
		case w == nil:
			d.add(g.Key, "is there, and must not be")
		case w.Dir != g.Dir:
			d.add(g.Key, "is a file instead of a directory, or the reverse")
		case w.Value != g.Value && string([]rune(w.Value)) != g.Value:
			d.add(g.Key, "has another value")
		case !sameExpiry(w.Expires, g.Expires):
			d.add(g.Key, fmt.Sprintf("expires %s, want %s", expiry(g.Expires), expiry(w.Expires)))
		}
	}
	for i := range want {
		switch key := want[i].Key; {
		case wanted[key] == nil:
		case due.passed(key, now.Add(maxSkew)):
			expired++
		default:
			d.add(key, "is missing")
		}
	}
	return d, expired
}

// unwritten returns an error if somebody has written to the v2 API since it was read. Etcd goes on expiring nodes there.
func unwritten(before, now *Content) error {
	if before == nil {
		return nil
	}
	put, gone := changes(before.records, now.records)
	if len(put) > 0 {
		return used(put[0].Key)
	}
	if keys := unexpired(gone, time.Now()); len(keys) > 0 {
		return used(keys[0])
	}
	return nil
}

// used is the error that somebody has written to a key.
func used(key string) error {
	return fmt.Errorf("%q was written at the v2 API meanwhile (hint: find the program, or the proxy with upstream.api = \"v2\", that writes there, and run the command again)", key)
}

// later returns the number of files that were written after an index, at which the keys were moved; 0 is not known.
func later(c *Content, moved uint64) (n int) {
	for i := range c.records {
		if !c.records[i].Dir && moved > 0 && c.records[i].Modified > moved {
			n++
		}
	}
	return n
}
