package lane

import (
	"net/url"
	"strings"

	"etcd-tlsproxy/proxy/http1"
)

// CheckTarget refuses the targets that net/http cannot parse. net/http would answer them
// itself, in plain text. The gate decides whether a target is acceptable.
func CheckTarget(r *http1.Request) *http1.Error {
	target := r.Target
	if r.Method == "CONNECT" && !strings.HasPrefix(target, "/") {
		target = "http://" + target
	}
	if _, err := url.ParseRequestURI(target); err != nil {
		return errUnreadableTarget
	}
	return nil
}

var errUnreadableTarget = &http1.Error{Status: 400, Reason: "the request target is malformed"}
