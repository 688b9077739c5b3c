package check

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// VersionedKeys is the number of keys with versions.
	VersionedKeys = 16
	// VersionWriters is the number of their writers. Each key has one.
	VersionWriters = 4
)

// Versions are keys whose values contain the key and its version.
type Versions struct {
	sent, acked [VersionedKeys]atomic.Int64
	never       sync.Map // of the keys and versions that were not carried out
}

// Next returns the next version of a key. Only the key's writer calls it.
func (v *Versions) Next(k int) int64 { return v.sent[k].Add(1) }

// Newest returns the newest version that was sent.
func (v *Versions) Newest(k int) int64 { return v.sent[k].Load() }

// Acknowledge records a version that etcd acknowledged.
func (v *Versions) Acknowledge(k int, version int64) { v.acked[k].Store(version) }

// Refute records a version that etcd did not carry out, and never will.
func (v *Versions) Refute(k int, version int64) { v.never.Store([2]int64{int64(k), version}, true) }

// Refuted reports whether etcd did not carry out a version.
func (v *Versions) Refuted(k int, version int64) bool {
	_, refuted := v.never.Load([2]int64{int64(k), version})
	return refuted
}

// Acknowledged returns the newest version that etcd acknowledged.
func (v *Versions) Acknowledged(k int) int64 { return v.acked[k].Load() }

// Floors returns the versions that are acknowledged now: a read that is sent from now on
// must not return older ones.
func (v *Versions) Floors() (floors [VersionedKeys]int64) {
	for k := range v.acked {
		floors[k] = v.acked[k].Load()
	}
	return floors
}

// VersionedKey returns the k-th key.
func VersionedKey(k int) string { return fmt.Sprintf("/soak/tagged/k%02d", k) }

// VersionedValue returns the value of a key in a version. Values of different keys or
// versions differ throughout, and some are larger than any buffer between client and etcd.
func VersionedValue(k int, version int64) string {
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

// ParseVersion returns the version of a value; ok is false if that value was never
// written to the key.
func ParseVersion(k int, value string) (version int64, ok bool) {
	var key int
	if _, err := fmt.Sscanf(value, "k%d v%d ", &key, &version); err != nil {
		return 0, false
	}
	return version, key == k && value == VersionedValue(k, version)
}
