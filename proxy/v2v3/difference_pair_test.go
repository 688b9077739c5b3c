package v2v3_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"etcd-tlsproxy/proxy/proxytest/v2draw"
	"etcd-tlsproxy/proxy/v2store"
)

// pair is the reference and the store during one check.
type pair struct {
	*rapid.T
	v2draw.Choices
	bench
	// base is the index that both had at the beginning.
	base, index uint64
	watches     []*watchPair
}

// answered is an answer as both are compared.
type answered struct {
	status int
	index  string
	body   string
}

func (a answered) number() uint64 {
	n, _ := strconv.ParseUint(a.index, 10, 64)
	return n
}

// ask sends a request to the reference.
func (p *pair) ask(q *v2store.Request) answered {
	request, err := http.NewRequestWithContext(p.Context(), q.Method, p.url, strings.NewReader(q.Body))
	if err != nil {
		p.Fatal(err)
	}
	request.URL.Path, request.URL.RawQuery = "/v2/keys"+q.Path, q.Query
	if q.ContentType != "" {
		request.Header.Set("Content-Type", q.ContentType)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		p.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		p.Fatal(err)
	}
	return answered{answer.StatusCode, answer.Header.Get("X-Etcd-Index"), string(body)}
}

// do sends a request to the store.
func (p *pair) do(q *v2store.Request) (answered, *v2store.Operation) {
	o, failure := v2store.Parse(q, time.Now())
	if failure != nil {
		a := failure.Answer()
		return answered{a.Status, fmt.Sprint(a.Index), string(a.Body)}, nil
	}
	a, err := p.store.Do(p.Context(), o)
	if err != nil {
		p.Fatalf("%+v: the store answers %v", *q, err)
	}
	return answered{a.Status, fmt.Sprint(a.Index), string(a.Body)}, o
}

// both sends a request to both and compares the answers.
func (p *pair) both(q *v2store.Request) answered {
	if p.refusedBy35(q) {
		return answered{}
	}
	p.Logf("at index %d: %+v", p.index, *q)
	if q.Method == "GET" {
		q.Query = strings.TrimPrefix(q.Query+"&sorted=true", "&")
	}
	want := p.ask(q)
	got, o := p.do(q)
	p.compare(q, got, want)
	p.index = max(p.index, got.number())
	p.counts.add("%s", rule(o, got))
	return got
}

// refusedBy35 reports whether a request updates a directory and the reference is etcd 3.5, which
// refuses what 3.4 does.
func (p *pair) refusedBy35(q *v2store.Request) bool {
	if p.updatesDirs {
		return false
	}
	o, failure := v2store.Parse(q, time.Now())
	if failure != nil || o.Action != v2store.Update || o.Value != "" {
		return false
	}
	got, _ := p.do(&v2store.Request{Method: "GET", Path: q.Path})
	return strings.Contains(got.body, `"dir":true`)
}

func (p *pair) compare(q *v2store.Request, got, want answered) {
	got.body, want.body = timeless(got.body), timeless(want.body)
	if got != want && q.Method == "GET" {
		got.body, want.body = sorted(got.body), sorted(want.body)
	}
	if got != want {
		p.Fatalf("%+v at index %d\n got %d %s %s\nwant %d %s %s", *q, p.index, got.status, got.index, got.body, want.status, want.index, want.body)
	}
}

// rule says what a request reached.
func rule(o *v2store.Operation, a answered) string {
	var failure v2store.Error
	if a.status >= 300 && json.Unmarshal([]byte(a.body), &failure) == nil {
		if o == nil {
			return fmt.Sprintf("a form fails with %d", failure.Code)
		}
		return fmt.Sprintf("%s fails with %d", o.Action, failure.Code)
	}
	return fmt.Sprintf("%s %d, refresh %v, directory %v, in order %v", o.Action, a.status, o.Refresh, strings.Contains(a.body, `"dir":true`), o.InOrder)
}

var (
	expiration = regexp.MustCompile(`"expiration":"[^"]*"`)
	ttl        = regexp.MustCompile(`"ttl":-?\d+,`)
)

// timeless leaves out what depends on the clock: when a node expires, but not whether it does.
func timeless(body string) string {
	return expiration.ReplaceAllString(ttl.ReplaceAllString(body, ""), `"expiration":0`)
}

// sorted sorts the nodes of a listing for which the request did not ask that.
func sorted(body string) string {
	var e struct{ Node *v2store.Node }
	if json.Unmarshal([]byte(expiration.ReplaceAllString(body, `"expiration":null`)), &e) != nil || e.Node == nil {
		return body
	}
	var sort func(n *v2store.Node)
	sort = func(n *v2store.Node) {
		slices.SortFunc(n.Nodes, func(a, b *v2store.Node) int { return strings.Compare(a.Key, b.Key) })
		for _, child := range n.Nodes {
			sort(child)
		}
	}
	sort(e.Node)
	return string((&v2store.Event{Action: v2store.Get, Node: e.Node}).Body())
}

// Index implements [v2draw.Tree].
func (p *pair) Index() uint64 { return p.index }

// Modified implements [v2draw.Tree].
func (p *pair) Modified(key string) uint64 {
	got, _ := p.do(&v2store.Request{Method: "GET", Path: key})
	var e struct{ Node v2store.Node }
	if json.Unmarshal([]byte(got.body), &e) != nil {
		return 0
	}
	return e.Node.ModifiedIndex
}

// equalize makes both trees empty and their indexes equal.
func (p *pair) equalize() {
	filler := &v2store.Request{Method: "PUT", Path: "/_filler", Query: "value=x"}
	removal := &v2store.Request{Method: "DELETE", Path: "/_filler"}
	store := func(q *v2store.Request) answered { a, _ := p.do(q); return a }
	for _, send := range []func(*v2store.Request) answered{p.ask, store} {
		for _, q := range p.removals(send(&v2store.Request{Method: "GET", Path: "/"})) {
			send(q)
		}
		send(filler)
	}
	a, b := p.ask(removal), store(removal)
	for a.number() != b.number() {
		send := store
		if a.number() < b.number() {
			send = p.ask
		}
		for range max(a.number(), b.number()) - min(a.number(), b.number()) {
			send(filler)
		}
		a, b = p.ask(removal), store(removal)
		if a.status == b.status {
			continue
		}
		// One has removed it, and is ahead by one.
		a, b = p.ask(filler), store(filler)
	}
	p.ask(filler)
	store(filler)
	a, b = p.ask(removal), store(removal)
	if a.number() != b.number() {
		p.Fatal(errors.New("BUG: the indexes are not equal"))
	}
	p.base, p.index = a.number(), a.number()
}

// removals are requests that make a tree empty.
func (p *pair) removals(root answered) []*v2store.Request {
	var e struct{ Node v2store.Node }
	if err := json.Unmarshal([]byte(root.body), &e); err != nil {
		p.Fatalf("reading the root: %v", err)
	}
	keys := slices.Clone(v2draw.Tops)
	for _, n := range e.Node.Nodes {
		if !slices.Contains(keys, n.Key) {
			keys = append(keys, n.Key)
		}
	}
	var all []*v2store.Request
	for _, key := range keys {
		all = append(all, &v2store.Request{Method: "DELETE", Path: key, Query: "recursive=true"})
	}
	return all
}

// fill makes the history nearly or more than full.
func (p *pair) fill(n int) {
	for range n {
		p.both(&v2store.Request{Method: "PUT", Path: "/a/b", Query: "value=x"})
	}
}

func (p *pair) step() {
	switch p.IntN(10) {
	case 0, 1:
		if len(p.watches) < 40 {
			p.watch()
		}
	default:
		p.both(p.Request(p, v2draw.LongLife))
	}
}

func (p *pair) compareTrees() {
	for _, key := range readKeys {
		p.both(&v2store.Request{Method: "GET", Path: key, Query: "recursive=true"})
	}
}
