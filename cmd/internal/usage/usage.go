// Package usage marks errors of a command line. A command that got a wrong one exits with a
// status of its own, so that scripts can tell their own mistakes from failures. The mark can
// be set wherever the mistake is found, also while the command runs.
package usage

import "errors"

// The exit statuses of a command that fails.
const (
	Failed = 1 // the command failed
	Wrong  = 2 // the command line is wrong
)

// Error is an error of the command line.
type Error struct{ err error }

func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the error without the mark.
func (e *Error) Unwrap() error { return e.err }

// Mark marks an error. It returns nil for nil.
func Mark(err error) error {
	if err == nil {
		return nil
	}
	return &Error{err}
}

// Status returns the exit status for an error.
func Status(err error) int {
	if _, wrong := errors.AsType[*Error](err); wrong {
		return Wrong
	}
	return Failed
}
