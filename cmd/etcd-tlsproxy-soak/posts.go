package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"sync"
)

// posts are the in-order keys of all clients, and what became of each. Every value
// is sent once: a write that was doubled shows as two keys with one value, and one
// that was lost as none.
type posts struct {
	mu    sync.Mutex
	queue map[string]map[string]post // by folder and value
	// late are the values of unknown outcome in folders that were counted and removed:
	// etcd may carry them out even now.
	late map[string]bool
}

type post struct {
	fate fate
	key  string // if acknowledged
}

// fate is how often a value may be in etcd.
type fate int

const (
	once  fate = iota // acknowledged: exactly once
	maybe             // at most once
	never             // not sent, or not whole
)

// mostPosts are in a folder before it is counted and removed.
const mostPosts = 400

// post hands out a request with a value of its own.
func (a *actor) post(n *int) (r *request, folder, value string) {
	folder = a.folder(*n)
	value = fmt.Sprintf("%s-%d-%d", a.kind, a.id, *n)
	*n++
	return &request{method: "POST", target: folder, user: "worker", form: url.Values{"value": {value}}.Encode()}, folder, value
}

// folder is where the n-th value goes.
func (a *actor) folder(n int) string {
	return fmt.Sprintf("/soak/posts/%s-%d-%d", a.kind, a.id, n/mostPosts)
}

func (p *posts) note(folder, value string, f fate, key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queue[folder] == nil {
		p.queue[folder] = make(map[string]post)
	}
	p.queue[folder][value] = post{f, key}
}

// posted takes note of what an answer to a POST means.
func (a *actor) posted(r *request, folder, value string, got *answer, outcome outcome) {
	switch {
	case outcome == unsent:
		a.posts.note(folder, value, never, "")
	case outcome == unknown:
		a.posts.note(folder, value, maybe, "")
	case got.Node == nil || !a.wrote(r, got, "create", got.Node.Key, value):
		a.posts.note(folder, value, maybe, "") // wrong, and noted
	default:
		a.posts.note(folder, value, once, got.Node.Key)
	}
}

// writePosts fills folders, and counts each one when it is full.
func (a *actor) writePosts() {
	for n := 0; a.working(); {
		r, folder, value := a.post(&n)
		got, outcome := a.do(r, 201)
		a.posted(r, folder, value, got, outcome)
		if n%mostPosts == 0 {
			a.clear(folder)
		}
		a.pace(15)
	}
}

// clear counts a folder at etcd itself and removes it.
func (a *actor) clear(folder string) {
	if err := a.posts.check(a.world, a.name(), folder); err != nil {
		if a.working() {
			a.wrong("counting %s: %v", folder, err)
		}
		return
	}
	for expected := []int{200}; a.working(); expected = []int{200, 404} {
		r := &request{method: "DELETE", target: folder + "?recursive=true", user: "worker"}
		got, outcome := a.do(r, expected...)
		if outcome != done {
			continue
		}
		if got.status == 200 && (got.Action != "delete" || got.Node == nil || got.Node.Key != folder) {
			a.wrong("%v is answered with what belongs to another request: %.300s", r, got.body)
		}
		a.posts.forget(folder)
		return
	}
}

func (p *posts) forget(folder string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for value, post := range p.queue[folder] {
		if post.fate == maybe {
			p.late[value] = true
		}
	}
	delete(p.queue, folder)
}

// check compares a folder with what was acknowledged.
func (p *posts) check(w *world, who, folder string) error {
	body, err := direct(w.etcd.URL(), "/v2/keys"+folder+"?recursive=true&quorum=true")
	if err != nil {
		return err
	}
	var got event
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	found := make(map[string][]string)
	if got.Node != nil {
		for _, n := range got.Node.Nodes {
			found[n.Value] = append(found[n.Value], n.Key)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for value, post := range p.queue[folder] {
		keys := found[value]
		switch {
		case post.fate == once && len(keys) == 0:
			w.tally.lostWrite(who, "%s was acknowledged as %s and is not there", value, post.key)
		case len(keys) > 1:
			w.tally.doubledWrite(who, "%s is there as %v", value, keys)
		case post.fate == once && keys[0] != post.key:
			w.tally.mismatch(who, "%s was acknowledged as %s and is %s", value, post.key, keys[0])
		case post.fate == never && len(keys) > 0:
			w.tally.ghostWrite(who, "%s is there as %v, and was never sent to etcd whole", value, keys)
		}
		delete(found, value)
	}
	for value, keys := range found {
		if !p.late[value] || len(keys) > 1 {
			w.tally.ghostWrite(who, "%v hold %s, which was counted before or never sent", keys, value)
		}
	}
	return nil
}

// checkAll compares everything that is there at the end.
func (p *posts) checkAll(w *world) error {
	body, err := direct(w.etcd.URL(), "/v2/keys/soak/posts?quorum=true")
	if err != nil {
		return err
	}
	var got event
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	folders := make(map[string]bool)
	if got.Node != nil {
		for _, n := range got.Node.Nodes {
			folders[n.Key] = true
		}
	}
	p.mu.Lock()
	for folder := range p.queue {
		folders[folder] = true
	}
	p.mu.Unlock()
	for folder := range folders {
		if err := p.check(w, "end", folder); err != nil {
			return err
		}
	}
	return nil
}
