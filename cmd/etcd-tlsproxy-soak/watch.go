package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/check"
	"etcd-tlsproxy/cmd/etcd-tlsproxy-soak/internal/transport"
)

// watchedKeys is the number of keys below each watched folder.
const watchedKeys = 6

// writeWatched writes below a watched folder.
func (c *client) writeWatched() {
	h := c.histories[c.id%len(c.histories)]
	for n := 0; c.isWorking(); n++ {
		c.writeWatchedOnce(h, fmt.Sprintf("%d-%d", c.id, n))
		c.pause(60)
	}
}

// writeWatchedOnce sets or deletes a key, and returns the index of the event, or 0 if
// etcd has not acknowledged one.
func (c *client) writeWatchedOnce(h *check.History, value string) (index uint64) {
	key := fmt.Sprintf("%s/k%d", h.Folder, c.random.IntN(watchedKeys))
	r := &transport.Request{Method: "PUT", Target: key, User: "worker", Form: url.Values{"value": {value}}.Encode()}
	action, text, statuses := "set", check.SetText(key, value), []int{200, 201}
	if c.random.IntN(6) == 0 {
		r = &transport.Request{Method: "DELETE", Target: key, User: "worker"}
		action, text, value, statuses = "delete", check.DeleteText(key), "", []int{200, 404}
	}
	got, outcome := c.do(r, statuses...)
	switch {
	case outcome == unknown:
		h.AddUnknown(text)
	case outcome == done && got.Status != 404 && c.checkWrite(r, got, action, key, value):
		h.Acknowledge(c.name(), got.Node.ModifiedIndex, key, text)
		return got.Node.ModifiedIndex
	}
	return 0
}

// watch watches a folder until the end of the run, without missing an event.
func (c *client) watch() {
	h := c.histories[c.id%len(c.histories)]
	w := h.NewWatcher(c.name())
	for lost := true; c.watching.Err() == nil; {
		if lost {
			lost = !c.readWatched(h, w)
			continue
		}
		switch c.watchOnce(h, w) {
		case watchBroken:
			lost = c.random.IntN(2) == 0
		case watchOutdated:
			lost = true
		}
	}
}

// readWatched reads the folder, which gives the watcher a new position.
func (c *client) readWatched(h *check.History, w *check.Watcher) bool {
	index := c.index.Load()
	r := &transport.Request{Method: "GET", Target: h.Folder + "?recursive=true"}
	got, outcome := c.do(r, 200, 404)
	if outcome != done || !c.checkFresh(r, got, index) {
		return false
	}
	var nodes []*transport.Node
	if got.Node != nil {
		nodes = got.Node.Nodes
	}
	h.Read(w, got.EtcdIndex, nodes)
	return true
}

// watchEnd is how one watch ended.
type watchEnd int

const (
	watchReceived watchEnd = iota // an event
	watchBroken                   // without one; the position is still good
	watchOutdated                 // the folder must be read again
)

// watchOnce waits for the next event. Some watches have no index and start with the one
// in the head of the answer, and some clients disconnect.
func (c *client) watchOnce(h *check.History, w *check.Watcher) watchEnd {
	waitIndex := w.Next()
	r := &transport.Request{Method: "GET", Target: fmt.Sprintf("%s?wait=true&recursive=true&waitIndex=%d", h.Folder, waitIndex)}
	fromNow := c.random.IntN(20) == 0
	if fromNow {
		waitIndex = 0
		r.Target = h.Folder + "?recursive=true&wait=true"
	}
	ctx := c.watching
	if c.random.IntN(15) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.random.IntN(50))*time.Millisecond)
		defer cancel()
	}
	index := c.index.Load()
	got, outcome := c.doWithin(ctx, r, 200, 400)
	switch {
	case outcome != done:
		return watchBroken
	case got.Status == 400:
		// etcd remembers 1,000 events, of all keys together, unless it was told to forget them.
		if got.ErrorCode != 401 || waitIndex == 0 || waitIndex+900 > got.Index && !c.isForgotten(waitIndex) {
			c.mismatch("%v: got %.200s, want an event, because waitIndex is recent", r, got.Body)
		}
		return watchOutdated
	case !c.checkFresh(r, got, index):
		return watchOutdated
	case got.Node == nil || got.Action != "set" && got.Action != "delete":
		c.mismatch("%v: got %.300s, want an event that sets or deletes a key", r, got.Body)
		return watchOutdated
	}
	if fromNow {
		h.Restart(w, got.EtcdIndex+1)
	}
	text := check.SetText(got.Node.Key, got.Node.Value)
	if got.Action == "delete" {
		text = check.DeleteText(got.Node.Key)
	}
	h.Receive(w, got.Node.ModifiedIndex, got.Node.Key, text)
	return watchReceived
}
