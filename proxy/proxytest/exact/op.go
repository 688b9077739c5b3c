package exact

import (
	"fmt"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

// Request is what a client asks for. No two writes of a history have the same value.
type Request struct {
	// Action is that of the event, or get.
	Action v2store.Action
	Key    string
	Value  string
	// Dir and Recursive are the parameters of directories. Reads of directories are recursive.
	Dir, Recursive bool
	// Quorum is set for a read that must be linearizable.
	Quorum bool
	// InOrder means that the key is a queue, and that the store chooses the name in it.
	InOrder bool
	// PrevValue is the condition, or the value of the node whose index is PrevIndex, which is the
	// condition unless it is 0.
	PrevValue string
	PrevIndex uint64
}

// Outcome is what the client knows of an operation.
type Outcome int

const (
	// Answered: the client has the answer, which may be an error of the v2 API.
	Answered Outcome = iota + 1
	// Refused: nothing was carried out.
	Refused
	// Executed: the write was carried out at the index, and its answer is lost.
	Executed
	// Unknown: the write may have been carried out or not, or will be.
	Unknown
)

// String returns the name of the outcome.
func (o Outcome) String() string {
	return [...]string{"none", "answered", "refused", "executed, answer lost", "unknown"}[o]
}

// Op is an operation of a client. Its times are those of one clock.
type Op struct {
	Request
	Client, Proxy int
	Start, End    time.Duration
	Outcome       Outcome
	// Index is that of the tree in which the answer is true; 0 if it is not known. That of a write is
	// the index of its event.
	Index uint64
	// Code is that of an error of the v2 API, or 0; Event is the answer otherwise.
	Code  int
	Event *v2store.Event
}

// String describes the operation in messages.
func (o *Op) String() string {
	text := fmt.Sprintf("%s %s", o.Action, o.Key)
	for _, part := range []struct {
		text string
		set  bool
	}{
		{"=" + o.Value, o.Value != ""}, {" in order", o.InOrder}, {" dir", o.Dir}, {" recursive", o.Recursive}, {" quorum", o.Quorum},
		{" if " + o.PrevValue, o.PrevValue != ""}, {fmt.Sprintf(" at %d", o.PrevIndex), o.PrevIndex != 0},
		{fmt.Sprintf(" (code %d)", o.Code), o.Code != 0},
	} {
		if part.set {
			text += part.text
		}
	}
	return fmt.Sprintf("client %d at proxy %d, %s to %s: %s: %s at the index %d", o.Client, o.Proxy, o.Start, o.End, text, o.Outcome, o.Index)
}

// write reports whether the request changes the tree if its conditions hold.
func (r *Request) write() bool { return r.Action != v2store.Get }

// removes reports whether the request removes a node.
func (r *Request) removes() bool {
	return r.Action == v2store.Delete || r.Action == v2store.CompareAndDelete
}

// executed reports whether the operation has an event for certain.
func (o *Op) executed() bool {
	return o.write() && (o.Outcome == Executed || o.Outcome == Answered && o.Code == 0)
}
