package upstream

import (
	"context"
	"errors"
	"os"
)

// Kind says why a request got no complete answer.
type Kind int

const (
	// Unreachable: no endpoint accepted a connection. Nothing was sent.
	Unreachable Kind = iota
	// Busy: too many requests are in flight. Nothing was sent.
	Busy
	// TooLong: the first line is longer than a plaintext etcd reads. Nothing was
	// sent.
	TooLong
	// UnknownOutcome: the connection was lost after a part of a write was sent. It is
	// unknown whether etcd carried it out.
	UnknownOutcome
	// Broken: etcd closed the connection early, or its answer was malformed.
	Broken
	// Timeout: etcd did not answer in time. It is unknown whether it carried the request
	// out.
	Timeout
	// Canceled: the request's own context ended first.
	Canceled
)

var kinds = [...]string{"unreachable", "busy", "too_long", "lost", "broken", "timeout", "canceled"}

// String names the kind in logs and metrics.
func (k Kind) String() string { return kinds[k] }

// Error says why a request got no complete answer.
type Error struct {
	Kind Kind
	// Endpoint is the endpoint that failed; "" if the failure concerns none.
	Endpoint string
	Err      error
}

func (e *Error) Error() string {
	text := "asking etcd"
	if e.Endpoint != "" {
		text += " at " + e.Endpoint
	}
	return text + ": " + e.Kind.String() + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// classify returns the error for a failure after a part of the request was sent.
func classify(ctx context.Context, e *endpoint, method string, err error) *Error {
	kind := Broken
	switch {
	case ctx.Err() != nil:
		kind, err = Canceled, context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		kind = Timeout
	case !safe(method):
		kind = UnknownOutcome
	}
	return &Error{Kind: kind, Endpoint: e.String(), Err: err}
}

// safe reports whether a method only reads.
func safe(method string) bool { return method == "GET" || method == "HEAD" }
