package share

import (
	"strconv"
	"strings"
)

// hubKey identifies a hub. With since 0 the hub follows all events from now on. Otherwise
// it waits for the first event at or above since, an index that no ring covers.
type hubKey struct {
	path, key string // each determines the other
	recursive bool
	since     uint64
}

// target returns the request target for events from an index on; 0 means from now on.
//
// Each request asks for one event. A stream would save requests, but etcd silently
// drops a stream that has a hundred unsent events, for example when that many keys
// expire at once. With a waitIndex etcd finds the event in its history, or reports that
// it is gone.
func (p hubKey) target(since uint64) string {
	query := "?wait=true"
	if since != 0 {
		query += "&waitIndex=" + strconv.FormatUint(since, 10)
	}
	if p.recursive {
		query += "&recursive=true"
	}
	return p.path + query
}

// concerns reports whether etcd would send an event to a watcher that was already
// waiting. Requests with a waitIndex are answered from etcd's history, which also
// holds events of hidden keys below, and the removal of directories whose name is a
// prefix of the key's.
func (p hubKey) concerns(key string) bool {
	below, isBelow := strings.CutPrefix(key, strings.TrimSuffix(p.key, "/")+"/")
	return key == p.key || isBelow && !strings.Contains("/"+below, "/_") || strings.HasPrefix(p.key, strings.TrimSuffix(key, "/")+"/")
}
