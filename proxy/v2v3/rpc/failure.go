package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refusedCode reports whether etcd answers with the code of an error only if it has not executed
// and will not execute a call.
func refusedCode(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.ResourceExhausted, codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
		return true
	}
	return false
}

func is(err, want error) bool {
	return err != nil && strings.HasSuffix(rpctypes.ErrorDesc(err), rpctypes.ErrorDesc(want))
}

// Compacted reports whether a revision is no longer in the store.
func Compacted(err error) bool {
	return is(err, rpctypes.ErrGRPCCompacted) || errors.Is(err, ErrCompacted)
}

// NoSpace reports whether the store is full.
func NoSpace(err error) bool { return is(err, rpctypes.ErrGRPCNoSpace) }

// TooLarge reports whether a request is larger or has more operations than etcd allows, or a response
// is larger than this package allows.
func TooLarge(err error) bool {
	return is(err, rpctypes.ErrGRPCRequestTooLarge) || is(err, rpctypes.ErrGRPCTooManyOps) ||
		status.Code(err) == codes.ResourceExhausted && strings.Contains(rpctypes.ErrorDesc(err), "larger than max")
}

// Denied reports whether the user may not do what the call does.
func Denied(err error) bool { return status.Code(err) == codes.PermissionDenied }

// Missing reports whether a lease does not exist.
func Missing(err error) bool { return status.Code(err) == codes.NotFound }

// Reason returns the text of an error without the words of gRPC.
func Reason(err error) string { return rpctypes.ErrorDesc(err) }

// Named returns an error that says what has failed, without the words of gRPC. Its code is that of the error.
func Named(what string, err error) error { return fmt.Errorf("%s: %w", what, reason{err}) }

// reason is an error of gRPC without its words.
type reason struct{ err error }

func (r reason) Error() string { return Reason(r.err) }

func (r reason) Unwrap() error { return r.err }

// Pause waits a moment before a call is repeated, and reports whether there is time left.
func Pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(5 * time.Millisecond):
		return true
	}
}
