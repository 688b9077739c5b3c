package stats

import (
	"sync/atomic"

	"etcd-tlsproxy/proxy/v2store"
)

// Counts counts operations in the groups of etcd. Its methods may be called concurrently.
type Counts struct {
	of      [groups]struct{ success, fail atomic.Uint64 }
	expired atomic.Uint64
}

const (
	gets = iota
	sets
	deletes
	updates
	creates
	swaps
	swapDeletes
	groups
)

// group returns where an action is counted.
func group(action v2store.Action) int {
	switch action {
	case v2store.Set:
		return sets
	case v2store.Delete:
		return deletes
	case v2store.Update:
		return updates
	case v2store.Create:
		return creates
	case v2store.CompareAndSwap:
		return swaps
	case v2store.CompareAndDelete:
		return swapDeletes
	}
	return gets
}

// Succeeded counts a read that succeeded, or an event.
func (c *Counts) Succeeded(action v2store.Action) {
	if action == v2store.Expire {
		c.expired.Add(1)
		return
	}
	c.of[group(action)].success.Add(1)
}

// Failed counts an operation that failed with a code. Etcd counts some failures as successes: those of
// most writes to the root, and of an update or a deletion that it refuses because of the node. It counts
// the creation of a node below a file as a set that failed, too.
func (c *Counts) Failed(action v2store.Action, code int) {
	at := &c.of[group(action)]
	switch {
	case code == v2store.CodeRootReadOnly && action != v2store.Set && action != v2store.Create,
		action == v2store.Update && code == v2store.CodeNotFile,
		action == v2store.CompareAndDelete && (code == v2store.CodeNotFile || code == v2store.CodeTestFailed):
		at.success.Add(1)
		return
	case action == v2store.Create && code == v2store.CodeNotDir:
		c.of[sets].fail.Add(1)
	}
	at.fail.Add(1)
}

// Store returns the body of /v2/stats/store.
func (c *Counts) Store(watchers int) []byte {
	success := func(group int) uint64 { return c.of[group].success.Load() }
	fail := func(group int) uint64 { return c.of[group].fail.Load() }
	return encode(struct {
		GetsSuccess             uint64 `json:"getsSuccess"`
		GetsFail                uint64 `json:"getsFail"`
		SetsSuccess             uint64 `json:"setsSuccess"`
		SetsFail                uint64 `json:"setsFail"`
		DeleteSuccess           uint64 `json:"deleteSuccess"`
		DeleteFail              uint64 `json:"deleteFail"`
		UpdateSuccess           uint64 `json:"updateSuccess"`
		UpdateFail              uint64 `json:"updateFail"`
		CreateSuccess           uint64 `json:"createSuccess"`
		CreateFail              uint64 `json:"createFail"`
		CompareAndSwapSuccess   uint64 `json:"compareAndSwapSuccess"`
		CompareAndSwapFail      uint64 `json:"compareAndSwapFail"`
		CompareAndDeleteSuccess uint64 `json:"compareAndDeleteSuccess"`
		CompareAndDeleteFail    uint64 `json:"compareAndDeleteFail"`
		ExpireCount             uint64 `json:"expireCount"`
		Watchers                int    `json:"watchers"`
	}{success(gets), fail(gets), success(sets), fail(sets), success(deletes), fail(deletes), success(updates), fail(updates),
		success(creates), fail(creates), success(swaps), fail(swaps), success(swapDeletes), fail(swapDeletes), c.expired.Load(), watchers})
}
