package stats

import (
	"sync/atomic"

	"etcd-tlsproxy/proxy/v2store"
)

// Counts counts operations in the groups of etcd. Its methods may be called concurrently.
type Counts [groups]struct{ success, fail atomic.Uint64 }

const (
	gets = iota
	sets
	updates
	creates
	swaps
	deletes
	swapDeletes
	groups
)

var names = [groups]string{"gets", "sets", "update", "create", "compareAndSwap", "delete", "compareAndDelete"}

// Add counts an operation.
func (c *Counts) Add(action v2store.Action, failed bool) {
	at := gets
	switch action {
	case v2store.Set:
		at = sets
	case v2store.Update:
		at = updates
	case v2store.Create:
		at = creates
	case v2store.CompareAndSwap:
		at = swaps
	case v2store.Delete:
		at = deletes
	case v2store.CompareAndDelete:
		at = swapDeletes
	}
	if failed {
		c[at].fail.Add(1)
	} else {
		c[at].success.Add(1)
	}
}

// Store returns the body of /v2/stats/store. Expirations are not among the operations that were
// counted.
func (c *Counts) Store(watchers int64) []byte {
	body := map[string]uint64{"expireCount": 0, "watchers": uint64(watchers)}
	for i, name := range names {
		body[name+"Success"], body[name+"Fail"] = c[i].success.Load(), c[i].fail.Load()
	}
	return encode(body)
}
