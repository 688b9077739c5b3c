package main

import (
	"fmt"
	"strings"
	"time"
)

// abort sends requests and leaves: in the middle of a head, of a body, or before the
// answer. What was not sent whole must never reach etcd.
func (a *actor) abort() {
	for n := 0; a.working(); a.pace(60) {
		w := a.wire("1.1")
		if err := w.connect(); err != nil {
			a.wrong("%v", err)
			continue
		}
		switch a.random.IntN(3) {
		case 0: // while the answer is on its way
			r, _ := a.taggedRead()
			_ = w.send(w.text(r))
		case 1:
			_ = w.send(w.text(&request{method: "GET", target: "/soak/watched/p0?wait=true&recursive=true"}))
			a.pace(20)
		default:
			r, folder, value := a.post(&n)
			text := w.text(r)
			cut := len(text) - a.random.IntN(len(text))
			if a.random.IntN(2) == 0 {
				cut = len(text)
			}
			fate := never
			if cut == len(text) {
				fate = maybe
			}
			a.posts.note(folder, value, fate, "")
			_ = w.send(text[:cut])
			if a.random.IntN(2) == 0 {
				a.pace(5)
			}
			if n%mostPosts == 0 {
				a.clear(folder)
			}
		}
		a.tally.count(a.kind, "left")
		w.close()
	}
}

// pipelined is one of the requests of a batch, and how its answer is checked.
type pipelined struct {
	*request
	expected []int
	check    func(got *answer, outcome outcome)
}

// pipeline sends several requests at once. The answers must come in their order.
func (a *actor) pipeline() {
	w := a.wire("1.1")
	defer w.close()
	for n := 0; a.working(); a.pace(40) {
		if err := w.connect(); err != nil {
			a.wrong("%v", err)
			continue
		}
		var text strings.Builder
		before := n
		batch := make([]pipelined, 2+a.random.IntN(7))
		for i := range batch {
			batch[i] = a.pipelined(&n)
			text.WriteString(w.text(batch[i].request))
		}
		began := time.Now()
		_ = w.conn.SetDeadline(began.Add(patience))
		if w.send(text.String()) != nil {
			w.close() // the answers tell why
		}
		for _, p := range batch {
			if w.conn == nil {
				p.check(nil, unknown)
				continue
			}
			got, err := w.receive(p.request)
			if err != nil {
				err = fmt.Errorf("in a batch of %d: %w", len(batch), err)
				w.close()
			}
			p.check(a.judge(p.request, got, err, began, p.expected...))
		}
		if a.folder(before) != a.folder(n) {
			a.clear(a.folder(before))
		}
	}
}

// pipelined draws a request for a batch.
func (a *actor) pipelined(n *int) pipelined {
	switch a.random.IntN(4) {
	case 0:
		r, folder, value := a.post(n)
		return pipelined{r, []int{201}, func(got *answer, o outcome) { a.posted(r, folder, value, got, o) }}
	case 1:
		r := &request{method: "PUT", target: "/soak/refused/pipelined", form: "value=refused", local: true}
		return pipelined{r, []int{401}, func(*answer, outcome) {}}
	}
	r, k := a.taggedRead()
	index, floors := a.index.Load(), a.tagged.floors()
	return pipelined{r, []int{200, 404}, func(got *answer, o outcome) {
		if o == done {
			a.checkTagged(r, got, k, index, floors)
		}
	}}
}
