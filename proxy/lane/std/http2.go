package std

import (
	"errors"
	"net/http"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/http1"
)

// checkHTTP2 applies the grammar of HTTP/1 to the head of a request of HTTP/2. Both must mean
// the same: net/http takes the first of several fields, accepts any authority, and a length
// that is not a number for 0.
func checkHTTP2(r *http.Request) *gate.Refusal {
	var head http1.Request
	err := head.Assemble(r.Method, r.RequestURI, r.Host, r.Header, http1.Limits{})
	var refused *http1.Error
	switch {
	case errors.As(err, &refused):
		return gate.Malformed(refused.Status, refused.Reason)
	case head.Body == http1.Length && head.Length != r.ContentLength:
		return refuseOtherLength // no body follows
	}
	return nil
}

var refuseOtherLength = gate.Malformed(http.StatusBadRequest, "the Content-Length is not the length of the body")
