package v2v3_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
)

// watchPair is one watch at both.
type watchPair struct {
	name string
	op   *v2store.Operation
	stop func()
	// past means that the history had the event. A stream receives nothing after it.
	past           bool
	theirs, ours   heard
	sentinel       uint64
	cancelTheirs   context.CancelFunc
	theirsFinished chan struct{}
}

// heard are the events that a watch has received.
type heard struct {
	mu     sync.Mutex
	bodies []string
	more   chan struct{} // has room for one
}

func (h *heard) add(body string) {
	h.mu.Lock()
	h.bodies = append(h.bodies, timeless(body))
	h.mu.Unlock()
	select {
	case h.more <- struct{}{}:
	default:
	}
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.bodies)
}

// until waits until enough has been heard.
func (h *heard) until(enough func([]string) bool) bool {
	timeout := time.After(20 * time.Second)
	for {
		if enough(h.all()) {
			return true
		}
		select {
		case <-h.more:
		case <-timeout:
			return false
		}
	}
}

// watch starts a random watch at both, and compares the heads.
func (p *pair) watch() {
	key := p.Key()
	query := "wait=true"
	recursive := p.Once(2) || key == "" // a watch of the root alone receives nothing
	if recursive {
		query += "&recursive=true"
	}
	stream := p.Once(3)
	if stream {
		query += "&stream=true"
	}
	switch p.IntN(4) {
	case 0:
		query += fmt.Sprintf("&waitIndex=%d", p.base+1+p.Uint64N(p.index-p.base+4))
	case 1, 2:
		query += fmt.Sprintf("&waitIndex=%d", max(p.index+4-p.Uint64N(8), p.base+1))
	}
	if p.index > p.base+1000 && p.Once(4) {
		query += fmt.Sprintf("&waitIndex=%d", p.base+1+p.Uint64N(p.index-p.base-990)) // near the start of the history
	}
	p.startWatch(&v2store.Request{Method: "GET", Path: key, Query: query})
}

func (p *pair) startWatch(q *v2store.Request) {
	p.Logf("at index %d: %+v", p.index, *q)
	op, failure := v2store.Parse(q, time.Now())
	if failure != nil || op.Action != v2store.Watch {
		p.Fatalf("%+v: got the operation %+v and the error %v, want a watch", *q, op, failure)
	}
	w := &watchPair{name: fmt.Sprintf("%+v at index %d", *q, p.index), op: op, theirsFinished: make(chan struct{})}
	w.ours.more, w.theirs.more = make(chan struct{}, 1), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(p.Context())
	w.cancelTheirs = cancel
	request, err := http.NewRequestWithContext(ctx, "GET", p.url+"/v2/keys"+q.Path+"?"+q.Query, nil)
	if err != nil {
		p.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		p.Fatal(err)
	}
	stop, head, err := p.store.Watch(op, func(e *v2v3.Event) { w.ours.add(string(e.Body)) }, func(err error) { w.ours.add("lost: " + err.Error()) })
	if err != nil {
		p.Fatalf("%+v: the store answers %v", *q, err)
	}
	got := answered{head.Status, fmt.Sprint(head.Index), string(head.Body)}
	want := answered{answer.StatusCode, answer.Header.Get("X-Etcd-Index"), ""}
	if want.status != http.StatusOK {
		body, _ := io.ReadAll(answer.Body)
		want.body = string(body)
	}
	p.compare(q, got, want)
	if want.status != http.StatusOK {
		_ = answer.Body.Close()
		cancel()
		p.counts.add("watch fails with %d", want.status)
		return
	}
	w.stop, w.past = stop, len(w.ours.all()) > 0
	go w.read(answer.Body)
	p.Cleanup(w.close)
	p.watches = append(p.watches, w)
	p.counts.add("watch, recursive %v, stream %v, from history %v", op.Recursive, op.Stream, w.past)
}

// read reads the events of the reference, one in a line.
func (w *watchPair) read(body io.ReadCloser) {
	defer close(w.theirsFinished)
	defer body.Close()
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		w.theirs.add(line)
	}
}

func (w *watchPair) close() {
	w.stop()
	w.cancelTheirs()
	<-w.theirsFinished
}

// finishWatches makes events for all watches and compares what they have received.
func (p *pair) finishWatches() {
	sentinels := map[string]uint64{}
	for _, w := range p.watches {
		if sentinels[w.op.Key] == 0 {
			sentinels[w.op.Key] = p.sentinel(w.op.Key)
		}
		w.sentinel = sentinels[w.op.Key]
	}
	for _, w := range p.watches {
		p.finishWatch(w)
	}
	p.watches = nil
}

// sentinel makes an event at a key, and returns its index.
func (p *pair) sentinel(key string) uint64 {
	if key == "" {
		key = "/sentinel"
	}
	for _, q := range p.removals(p.ask(&v2store.Request{Method: "GET", Path: "/"})) {
		p.both(q)
	}
	a := p.both(&v2store.Request{Method: "PUT", Path: key, Query: "value=end"})
	if a.status != http.StatusCreated {
		p.Fatalf("BUG: the sentinel of %q has the answer %+v", key, a)
	}
	return a.number()
}

func (p *pair) finishWatch(w *watchPair) {
	defer w.close()
	enough := func(bodies []string) bool { return len(bodies) > 0 }
	last := fmt.Sprintf(`"modifiedIndex":%d,`, w.sentinel)
	isLast := func(body string) bool { return strings.Contains(body, last) }
	if w.op.Stream && !w.past {
		enough = func(bodies []string) bool { return slices.ContainsFunc(bodies, isLast) }
	}
	if !w.theirs.until(enough) || !w.ours.until(enough) {
		p.Fatalf("%s has received %q, and at etcd %q, which is not yet all", w.name, w.ours.all(), w.theirs.all())
	}
	got, want := w.ours.all(), w.theirs.all()
	if w.op.Stream && !w.past {
		got, want = got[:slices.IndexFunc(got, isLast)+1], want[:slices.IndexFunc(want, isLast)+1]
	}
	if !slices.Equal(got, want) {
		p.Fatalf("%s has received\n%q, want\n%q", w.name, got, want)
	}
	for _, body := range got {
		action, _, _ := strings.Cut(strings.TrimPrefix(body, `{"action":"`), `"`)
		p.counts.add("watch receives %s, stream %v", action, w.op.Stream)
	}
}
