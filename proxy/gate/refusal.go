package gate

import (
	"encoding/json"
	"strconv"
)

// Refusal is an answer that the proxy gives itself, in the shape of etcd's errors.
// Clients of the v2 API parse these and fail on anything else.
type Refusal struct {
	// Status is the HTTP status.
	Status int
	// Reason names the refusal in logs and metrics. It is from a closed set.
	Reason string
	// Cause is the cause in the body, in words.
	Cause string
	// RetryAfter, in whole seconds, is sent if above zero.
	RetryAfter int
	// Close ends the client's connection after the answer.
	Close bool
	// Body is the JSON, without a final newline, as nginx served it.
	Body string
}

// Header calls set for each field of the answer's header.
func (r *Refusal) Header(set func(name, value string)) {
	set("Content-Type", "application/json")
	set("Content-Length", strconv.Itoa(len(r.Body)))
	switch r.Status {
	case 401:
		set("Www-Authenticate", `Basic realm="etcd"`)
	case 405:
		set("Allow", AllowedMethods)
	}
	if r.RetryAfter > 0 {
		set("Retry-After", strconv.Itoa(r.RetryAfter))
	}
	if r.Close {
		set("Connection", "close")
	}
}

// etcd's own error codes. Client libraries raise the error that their users
// know: python-etcd and conftool match on the number.
const (
	codeNotFound     = 100 // the only one that etcd sends with status 404
	codeReadOnly     = 107
	codeUnauthorized = 110
	codeInvalidField = 209
	codeInvalidForm  = 210
	codeRaft         = 300
)

// refuse builds a refusal. Message and cause are constant texts: nothing that a
// client sent is repeated to it or written to a log.
func refuse(status int, reason string, code int, message, cause string) *Refusal {
	return &Refusal{Status: status, Reason: reason, Cause: cause, Body: encode(code, message, cause, 0)}
}

// encode returns the body of an error.
func encode(code int, message, cause string, index uint64) string {
	body, err := json.Marshal(struct {
		Code    int    `json:"errorCode"`
		Message string `json:"message"`
		Cause   string `json:"cause"`
		Index   uint64 `json:"index"`
	}{code, message, cause, index})
	if err != nil {
		panic("BUG: a refusal cannot be encoded: " + err.Error())
	}
	return string(body)
}

// Sent reports whether etcd may have received the operation before it was refused.
func (r *Refusal) Sent() bool {
	return r == RefuseUnknownOutcome || r == RefuseBroken || r == RefuseTimeout || r.Reason == lostAnswer.Reason
}

// logged returns the refusal with another cause in logs and on the status page. Its body stays
// the same.
func (r *Refusal) logged(cause string) *Refusal {
	other := *r
	other.Cause = cause
	return &other
}

func (r *Refusal) closing() *Refusal {
	r.Close = true
	return r
}

func (r *Refusal) retryAfter(seconds int) *Refusal {
	r.RetryAfter = seconds
	return r
}
