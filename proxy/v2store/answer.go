package v2store

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Answer is the answer to an operation, without what only the transport knows.
type Answer struct {
	Status int
	// Index is the value of X-Etcd-Index.
	Index uint64
	Body  []byte
	// Large renders the body, if it is too large to be rendered while the tree must not change. Body
	// is nil then.
	Large *Large
	// Failed means that the answer is an error, whose head has no fields about raft.
	Failed bool
}

// Answer renders the event as the answer to an operation.
func (e *Event) Answer(o *Operation) Answer {
	a := Answer{Status: 200, Index: e.Index}
	if e.Created() {
		a.Status = 201
	}
	shown := *e
	if o.NoValueOnSuccess {
		switch e.Action {
		case Set, Create, Update, CompareAndSwap:
			shown.Node, shown.PrevNode = nil, nil
		}
	}
	a.Body = shown.Body()
	return a
}

// Body renders the event as watches receive it.
func (e *Event) Body() []byte { return encode(e) }

// Answer renders the error.
func (e *Error) Answer() Answer {
	return Answer{Status: e.Status(), Index: e.Index, Body: encode(e), Failed: true}
}

// WatchHead returns the answer with which a watch begins. Its events follow as the body.
func WatchHead(index uint64) Answer { return Answer{Status: 200, Index: index} }

// Cluster is what the head of an answer says about the cluster.
type Cluster struct {
	ID, RaftIndex, RaftTerm uint64
}

// Fields returns the fields of the head, in pairs of name and value.
func (a *Answer) Fields(c Cluster) [][2]string {
	fields := [][2]string{
		{"Content-Type", "application/json"},
		{"X-Etcd-Cluster-Id", strconv.FormatUint(c.ID, 16)},
		{"X-Etcd-Index", strconv.FormatUint(a.Index, 10)},
	}
	if !a.Failed {
		fields = append(fields, [2]string{"X-Raft-Index", strconv.FormatUint(c.RaftIndex, 10)},
			[2]string{"X-Raft-Term", strconv.FormatUint(c.RaftTerm, 10)})
	}
	return fields
}

// encode returns JSON with HTML escaping and a line feed.
func encode(v any) []byte {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		// A year beyond 9999 cannot be encoded, but nanoseconds since 1970 end in 2262.
		panic("BUG: encoding an answer: " + err.Error())
	}
	return b.Bytes()
}
