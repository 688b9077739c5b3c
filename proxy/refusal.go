package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Refusal is an answer of the proxy's own, in the shape of etcd's errors:
// clients of the v2 API parse them and fail on anything else.
type Refusal struct {
	// Status is the HTTP status.
	Status int
	// Reason names the refusal in logs and metrics: from a closed set.
	Reason string
	// Cause is the body's, in words.
	Cause string
	// RetryAfter, in whole seconds, is sent if above zero.
	RetryAfter int
	// Close ends the client's connection after the answer.
	Close bool
	// Body is the JSON, without a final newline, as nginx served it.
	Body string
}

// Header is the fields of the answer besides those of every JSON body.
func (r *Refusal) Header(set func(name, value string)) {
	set("Content-Type", "application/json")
	set("Content-Length", strconv.Itoa(len(r.Body)))
	switch r.Status {
	case http.StatusUnauthorized:
		set("Www-Authenticate", `Basic realm="etcd"`)
	case http.StatusMethodNotAllowed:
		set("Allow", allowedMethods)
	}
	if r.RetryAfter > 0 {
		set("Retry-After", strconv.Itoa(r.RetryAfter))
	}
	if r.Close {
		set("Connection", "close")
	}
}

const allowedMethods = "GET, HEAD, PUT, POST, DELETE, OPTIONS"

// etcd's own error codes, so that client libraries raise the error their users
// know: python-etcd and conftool match on the number.
const (
	codeReadOnly     = 107
	codeUnauthorized = 110
	codeInvalidField = 209
	codeInvalidForm  = 210
	codeRaft         = 300
)

// refuse builds a refusal. Message and cause are constant texts: nothing that a
// client sent is repeated to it, or to a log.
func refuse(status int, reason string, code int, message, cause string) *Refusal {
	body, err := json.Marshal(struct {
		Code    int    `json:"errorCode"`
		Message string `json:"message"`
		Cause   string `json:"cause"`
		Index   uint64 `json:"index"`
	}{code, message, cause, 0})
	if err != nil {
		panic("BUG: a refusal cannot be encoded: " + err.Error())
	}
	return &Refusal{Status: status, Reason: reason, Cause: cause, Body: string(body)}
}

func (r *Refusal) closing() *Refusal {
	r.Close = true
	return r
}

func (r *Refusal) retryAfter(seconds int) *Refusal {
	r.RetryAfter = seconds
	return r
}

// The two texts that clients of the nginx site parse; the bytes are the
// interface.
var (
	refuseIdentity = refuse(http.StatusUnauthorized, "unauthorized", codeUnauthorized,
		"The request requires user authentication", "Insufficient credentials")
	refuseReadOnly = refuse(http.StatusForbidden, "read_only", codeReadOnly,
		"This cluster is in read-only mode", "Cluster configured to be read-only")
)

// Requests that cannot be read, or that ask for what is not served to anyone.
var (
	refuseReserved = refuse(http.StatusForbidden, "reserved_key", codeUnauthorized,
		"The key is reserved", "etcd takes a key of this shape for its own membership; nobody may write it")
	refuseSurface = refuse(http.StatusForbidden, "closed_surface", codeUnauthorized,
		"Not served here", "This path is closed by the proxy's configuration")
	refuseUpgrade = refuse(http.StatusForbidden, "upgrade", codeUnauthorized,
		"Not served here", "Protocol upgrades are not served")
	refuseMethod = refuse(http.StatusMethodNotAllowed, "method", codeInvalidField,
		"Method not allowed", "The methods are "+allowedMethods)
	refuseAuthorizations = refuse(http.StatusBadRequest, "bad_request", codeInvalidField,
		"Bad request", "More than one Authorization header").closing()
	refuseLength = refuse(http.StatusBadRequest, "bad_request", codeInvalidField,
		"Bad request", "The Content-Length is malformed, or there are several").closing()
	refuseTarget = refuse(http.StatusBadRequest, "bad_target", codeInvalidField,
		"Bad request", "The request target is neither a path nor an http URL")
	refuseQuery = refuse(http.StatusBadRequest, "bad_target", codeInvalidField,
		"Bad request", "The query contains a space, a control byte or a # that is not encoded")
	refuseTooLong = refuse(http.StatusRequestURITooLong, "too_long", codeInvalidField,
		"Request target too long", "The path and query exceed the limit; send parameters in a form body")
	refuseTooLarge = refuse(http.StatusRequestEntityTooLarge, "too_large", codeInvalidForm,
		"Request body too large", "The body exceeds the limit")
	refuseBody = refuse(http.StatusBadRequest, "bad_body", codeInvalidForm,
		"Bad request", "The body ended early or is malformed").closing()
	refuseSlowBody = refuse(http.StatusRequestTimeout, "slow_body", codeInvalidForm,
		"Request timeout", "The body did not arrive in time").closing()
	refusePlainHTTP = refuse(http.StatusBadRequest, "plain_http", codeInvalidField,
		"Bad request", "The plain HTTP request was sent to HTTPS port").closing()
)

// Requests that may be served another time.
var (
	refuseThrottled = refuse(http.StatusTooManyRequests, "throttled", codeUnauthorized,
		"Too many failed logins", "This address must wait before its next login")
	refuseBusy = refuse(http.StatusServiceUnavailable, "busy", codeRaft,
		"The proxy is busy", "Too many logins at once").retryAfter(1)
	refuseMemory = refuse(http.StatusServiceUnavailable, "busy", codeRaft,
		"The proxy is busy", "Too many large bodies at once").retryAfter(1)
	refuseSpace = refuse(http.StatusServiceUnavailable, "memory", codeRaft,
		"The proxy is busy", "There is little memory left; reads are refused first").retryAfter(1)
	refuseWatches = refuse(http.StatusServiceUnavailable, "busy", codeRaft,
		"The proxy is busy", "Too many watches at once").retryAfter(1)
	refuseUserWatches = refuse(http.StatusServiceUnavailable, "busy", codeRaft,
		"The proxy is busy", "Too many watches of this user or address at once").retryAfter(1)
	refuseDraining = refuse(http.StatusServiceUnavailable, "draining", codeRaft,
		"The proxy is shutting down", "Connect again").retryAfter(1).closing()
	refuseUnreachable = refuse(http.StatusServiceUnavailable, "unreachable", codeRaft,
		"etcd cannot be reached", "No endpoint accepted a connection; nothing was sent").retryAfter(1)
	refuseUpstreamBusy = refuse(http.StatusServiceUnavailable, "busy", codeRaft,
		"The proxy is busy", "Too many requests to etcd at once; nothing was sent").retryAfter(1)
	refuseLost = refuse(http.StatusServiceUnavailable, "unknown_outcome", codeRaft,
		"The connection to etcd was lost", "The write may or may not have been carried out; read before writing again")
	refuseBroken = refuse(http.StatusBadGateway, "broken", codeRaft,
		"etcd broke off its answer", "The answer was incomplete or malformed")
	refuseTimeout = refuse(http.StatusGatewayTimeout, "timeout", codeRaft,
		"etcd did not answer in time", "A write may or may not have been carried out; read before writing again")
)

// refusePath tells the reason acl gives, a constant text.
func refusePath(reason string) *Refusal {
	return refuse(http.StatusBadRequest, "bad_target", codeInvalidField, "Bad request", "The path is refused: "+reason)
}
