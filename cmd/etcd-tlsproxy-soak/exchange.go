package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// patience is what any answer may take: the proxy waits 30 s for etcd.
const patience = 40 * time.Second

// request is what a client sends.
type request struct {
	method string
	target string // below /v2/keys if it begins with /soak
	user   string // "" for none
	secret string // instead of the user's password
	form   string
	// local is set if the proxy has to answer this alone: etcd's death is no excuse.
	local bool
}

func (r *request) path() string {
	if strings.HasPrefix(r.target, "/soak") {
		return "/v2/keys" + r.target
	}
	return r.target
}

func (r *request) password() string {
	if r.secret != "" {
		return r.secret
	}
	return passwords[r.user]
}

func (r *request) String() string { return r.method + " " + r.path() }

// answer is what came back.
type answer struct {
	status int
	index  uint64 // etcd's, of the head
	body   string
	event
}

// event is what etcd's answers say.
type event struct {
	ErrorCode int
	Cause     string
	Index     uint64
	Action    string
	Node      *node
	PrevNode  *node
}

type node struct {
	Key, Value    string
	Dir           bool
	Nodes         []*node
	ModifiedIndex uint64
}

// errBrokenOff is an answer whose head came, and whose body did not end as its
// framing says.
var errBrokenOff = errors.New("the answer was broken off")

// transport sends a request and reads its whole answer, in one of the ways there are.
type transport interface {
	ask(ctx context.Context, r *request) (*answer, error)
	close()
}

// outcome is what became of a request.
type outcome int

const (
	done    outcome = iota // answered as expected
	unsent                 // etcd never heard of it
	unknown                // nobody knows whether it was carried out
)

// do sends a request and judges what comes back.
func (a *actor) do(r *request, expected ...int) (*answer, outcome) {
	return a.doWithin(context.Background(), r, expected...)
}

// doWithin is do for a client that leaves when ctx ends.
func (a *actor) doWithin(ctx context.Context, r *request, expected ...int) (*answer, outcome) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	got, err := a.via.ask(limited, r)
	if err != nil && ctx.Err() != nil {
		a.tally.count(a.kind, "left")
		return nil, unknown
	}
	if err != nil && limited.Err() != nil {
		err = fmt.Errorf("no answer after %v", patience)
		a.wrong("%v: %v", r, err)
		return nil, unknown
	}
	return a.judge(r, got, err, began, expected...)
}

// judge decides whether an answer may be what it is.
func (a *actor) judge(r *request, got *answer, err error, began time.Time, expected ...int) (*answer, outcome) {
	ended := time.Now()
	excused := !r.local && a.outages.excuse(began, ended)
	switch {
	case err != nil && excused && errors.Is(err, errBrokenOff):
		a.tally.count(a.kind, "broken off")
		a.rest()
		return nil, unknown
	case err != nil:
		a.wrong("%v: %v", r, err)
		a.rest()
		return nil, unknown
	}
	if r.method != "HEAD" {
		if err := json.Unmarshal([]byte(got.body), &got.event); err != nil {
			a.wrong("%v: %d with a body that is no JSON: %v: %.200q", r, got.status, err, got.body)
			return nil, unknown
		}
	}
	if slices.Contains(expected, got.status) {
		a.tally.count(a.kind, fmt.Sprint(got.status))
		return got, done
	}
	failed := got.status == 502 || got.status == 503 || got.status == 504
	if !failed || !excused || r.method != "HEAD" && (got.ErrorCode != 300 || got.Cause == "") {
		a.wrong("%v: %d %.300s after %v", r, got.status, got.body, ended.Sub(began).Round(time.Millisecond))
		a.rest()
		return nil, unknown
	}
	a.tally.count(a.kind, fmt.Sprint(got.status))
	a.rest()
	if strings.HasSuffix(got.Cause, "nothing was sent") {
		return got, unsent
	}
	return got, unknown
}
