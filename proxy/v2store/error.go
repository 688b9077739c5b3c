package v2store

import "fmt"

// The codes of etcd's v2 errors.
const (
	CodeKeyNotFound        = 100
	CodeTestFailed         = 101
	CodeNotFile            = 102
	CodeNotDir             = 104
	CodeNodeExist          = 105
	CodeRootReadOnly       = 107
	CodeDirNotEmpty        = 108
	CodePrevValueRequired  = 201
	CodeTTLNaN             = 202
	CodeIndexNaN           = 203
	CodeInvalidField       = 209
	CodeInvalidForm        = 210
	CodeRefreshValue       = 211
	CodeRefreshTTLRequired = 212
	CodeRaftInternal       = 300
	CodeEventIndexCleared  = 401
)

// Error is an error of the v2 API. Its fields are the body that clients receive.
type Error struct {
	Code    int    `json:"errorCode"`
	Message string `json:"message"`
	Cause   string `json:"cause,omitempty"`
	Index   uint64 `json:"index"`
}

func newError(code int, cause string, index uint64) *Error {
	return &Error{Code: code, Message: message(code), Cause: cause, Index: index}
}

// Error implements error in etcd's form.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Message, e.Cause) }

// Status returns the HTTP status of the error.
func (e *Error) Status() int {
	switch e.Code {
	case CodeKeyNotFound:
		return 404
	case CodeNotFile, CodeDirNotEmpty:
		return 403
	case CodeTestFailed, CodeNodeExist:
		return 412
	case CodeRaftInternal:
		return 500
	}
	return 400
}

// message returns etcd's text for a code. Clients compare these texts.
func message(code int) string {
	switch code {
	case CodeKeyNotFound:
		return "Key not found"
	case CodeTestFailed:
		return "Compare failed"
	case CodeNotFile:
		return "Not a file"
	case CodeNotDir:
		return "Not a directory"
	case CodeNodeExist:
		return "Key already exists"
	case CodeRootReadOnly:
		return "Root is read only"
	case CodeDirNotEmpty:
		return "Directory not empty"
	case CodePrevValueRequired:
		return "PrevValue is Required in POST form"
	case CodeTTLNaN:
		return "The given TTL in POST form is not a number"
	case CodeIndexNaN:
		return "The given index in POST form is not a number"
	case CodeInvalidField:
		return "Invalid field"
	case CodeInvalidForm:
		return "Invalid POST form"
	case CodeRefreshValue:
		return "Value provided on refresh"
	case CodeRefreshTTLRequired:
		return "A TTL must be provided on refresh"
	case CodeRaftInternal:
		return "Raft Internal Error"
	case CodeEventIndexCleared:
		return "The event in requested index is outdated and cleared"
	}
	panic(fmt.Sprintf("BUG: the error code %d has no message", code))
}
