package main

import (
	"context"
	"fmt"
	"net/url"
	"time"
)

// follower is a client that watches a folder and misses nothing.
type follower struct {
	who string
	// Under the ledger's lock.
	from, last uint64 // it has heard of all from here up to there
	heard      map[uint64]struct{}
}

// begin is where it goes on after a break.
func (f *follower) begin(from uint64) {
	f.from, f.last = from, from-1
	f.heard = make(map[uint64]struct{})
}

const watchedKeys = 6

// writeWatched writes below a watched folder.
func (a *actor) writeWatched() {
	l := a.ledgers[a.id%len(a.ledgers)]
	for n := 0; a.working(); n++ {
		a.writeWatchedOnce(l, fmt.Sprintf("%d-%d", a.id, n))
		a.pace(60)
	}
}

func (a *actor) writeWatchedOnce(l *ledger, value string) (index uint64, ok bool) {
	key := fmt.Sprintf("%s/k%d", l.folder, a.random.IntN(watchedKeys))
	if a.random.IntN(6) == 0 {
		return a.deleteWatched(l, key)
	}
	r := &request{method: "PUT", target: key, user: "worker", form: url.Values{"value": {value}}.Encode()}
	got, outcome := a.do(r, 200, 201)
	switch {
	case outcome == unknown:
		l.unknown(setText(key, value))
	case outcome == done && a.wrote(r, got, "set", key, value):
		l.acked(a.name(), got.Node.ModifiedIndex, key, setText(key, value))
		return got.Node.ModifiedIndex, true
	}
	return 0, false
}

func (a *actor) deleteWatched(l *ledger, key string) (index uint64, ok bool) {
	r := &request{method: "DELETE", target: key, user: "worker"}
	got, outcome := a.do(r, 200, 404)
	switch {
	case outcome == unknown:
		l.unknown(deleteText(key))
	case outcome == done && got.status == 200 && a.wrote(r, got, "delete", key, ""):
		l.acked(a.name(), got.Node.ModifiedIndex, key, deleteText(key))
		return got.Node.ModifiedIndex, true
	}
	return 0, false
}

// follow watches until it is told that enough was heard.
func (a *actor) follow() {
	l := a.ledgers[a.id%len(a.ledgers)]
	f := &follower{who: a.name()}
	l.mu.Lock()
	f.begin(1)
	f.from, f.last = ^uint64(0), ^uint64(0) // nowhere yet
	l.followers = append(l.followers, f)
	l.mu.Unlock()
	for lost := true; a.heard.Err() == nil; {
		if lost {
			lost = !a.reread(l, f)
			continue
		}
		switch a.watchOnce(l, f) {
		case brokenOff:
			lost = a.random.IntN(2) == 0
		case cleared:
			lost = true
		}
	}
	a.via.close()
}

// reread reads the folder and begins anew.
func (a *actor) reread(l *ledger, f *follower) bool {
	index := a.index.Load()
	r := &request{method: "GET", target: l.folder + "?recursive=true"}
	got, outcome := a.do(r, 200, 404)
	if outcome != done || !a.fresh(r, got, index) {
		return false
	}
	var nodes []*node
	if got.Node != nil {
		nodes = got.Node.Nodes
	}
	l.look(f, got.index, nodes)
	return true
}

// How one watch ended.
type watchEnd int

const (
	heardOne watchEnd = iota
	brokenOff
	cleared
)

// watchOnce waits for the next event. Some do so without an index, and then begin
// with what the head of the answer tells; some leave.
func (a *actor) watchOnce(l *ledger, f *follower) watchEnd {
	since := f.last + 1
	r := &request{method: "GET", target: fmt.Sprintf("%s?wait=true&recursive=true&waitIndex=%d", l.folder, since)}
	anew := a.random.IntN(20) == 0
	if anew {
		since = 0
		r.target = l.folder + "?recursive=true&wait=true"
	}
	ctx := a.heard
	if a.random.IntN(15) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(a.random.IntN(50))*time.Millisecond)
		defer cancel()
	}
	index := a.index.Load()
	got, outcome := a.doWithin(ctx, r, 200, 400)
	switch {
	case outcome != done:
		return brokenOff
	case got.status == 400:
		// etcd remembers 1,000 events of all keys.
		if got.ErrorCode != 401 || since == 0 || since+900 > got.Index {
			a.wrong("%v: %.200s", r, got.body)
		}
		return cleared
	case !a.fresh(r, got, index):
	case got.Node == nil || got.Action != "set" && got.Action != "delete":
		a.wrong("%v: %.300s", r, got.body)
	default:
		if anew {
			l.mu.Lock()
			f.begin(got.index + 1)
			l.mu.Unlock()
		}
		text := setText(got.Node.Key, got.Node.Value)
		if got.Action == "delete" {
			text = deleteText(got.Node.Key)
		}
		l.hear(f, got.Node.ModifiedIndex, got.Node.Key, text)
		return heardOne
	}
	return cleared
}
