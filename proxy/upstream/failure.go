package upstream

import (
	"context"
	"errors"
	"os"
)

// Kind is what became of a request that got no answer.
type Kind int

const (
	// Unreachable: no endpoint accepted a connection. Nothing was sent.
	Unreachable Kind = iota
	// Busy: too many requests are on their way. Nothing was sent.
	Busy
	// TooLong: the first line is longer than a plaintext etcd reads. Nothing was
	// sent.
	TooLong
	// UnknownOutcome: the connection was lost after something of a request that changes
	// things was sent. Whether etcd carried it out is not known.
	UnknownOutcome
	// Broken: etcd broke off, or its answer was malformed.
	Broken
	// Timeout: etcd did not answer in time. Whether it carried the request out is
	// not known.
	Timeout
	// Canceled: the request's own context ended first.
	Canceled
)

var kinds = [...]string{"unreachable", "busy", "too_long", "lost", "broken", "timeout", "canceled"}

// String names the kind in logs and metrics.
func (k Kind) String() string { return kinds[k] }

// Error is why a request got no answer, or not all of it.
type Error struct {
	Kind Kind
	// Endpoint is where it failed, "" if nowhere in particular.
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

// classify finds the kind of a failure that came after something was sent.
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

// safe reports whether a method changes nothing.
func safe(method string) bool { return method == "GET" || method == "HEAD" }
