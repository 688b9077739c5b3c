package lane

import (
	"net/url"
	"strings"

	"etcd-tlsproxy/proxy/http1"
)

// connectionFields belong to etcd's connection, or to the framing of its message.
var connectionFields = [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length"}

// ConnectionField reports whether a field of etcd's head must not reach the client. Those
// are the fields that belong to etcd's connection, and etcd's invitation to every web page
// (Access-Control-*), which would open the API to any site that a browser visits.
func ConnectionField(name string) bool {
	for _, field := range connectionFields {
		if len(name) == len(field) && strings.EqualFold(name, field) {
			return true
		}
	}
	const cors = "Access-Control-"
	return len(name) > len(cors) && strings.EqualFold(name[:len(cors)], cors)
}

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
