package proxy

import (
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/share"
	"etcd-tlsproxy/proxy/upstream"
)

// Snapshot is everything that decides about a request. It is immutable; a
// request loads it once, so that it never sees half of a new configuration.
type Snapshot struct {
	// Rules is the table of key prefixes.
	Rules *acl.Rules
	// Users are those with a password.
	Users *acl.Users
	// Certs is this server's certificate and the clients' CAs.
	Certs *certs.Generation
	// Surfaces lists who may use what is closed by default. A surface that is
	// absent is open to nobody.
	Surfaces map[Surface]acl.Group
	// ReadOnly refuses everything but reads, whoever asks.
	ReadOnly bool
	// FastLane serves plain requests of HTTP/1.1 without net/http.
	FastLane bool
	// Limits bounds one request.
	Limits Limits
	// Upstream is the way to etcd.
	Upstream *upstream.Pool
	// Reads shares equal reads through Upstream; nil sends each on its own.
	Reads *share.Reads
	// Watches shares equal watches through Upstream; nil sends each on its own.
	Watches *share.Watches

	tallies *tallies // set when it is put in force
}

// Limits bounds what one client can make the proxy hold, and for how long.
type Limits struct {
	// Head bounds a request's head, in bytes: nginx's 4 buffers of 8 KiB.
	Head int
	// Target bounds a request target, in bytes, as received and as forwarded.
	// Plaintext etcd resets a new connection whose first line exceeds 4,096.
	Target int
	// Body bounds a request's body, in bytes. etcd refuses forms above 10 MiB.
	Body int64
	// HeaderTimeout is how long a head may take from its first byte, and a new
	// connection to send its first request. It cuts clients that trickle.
	HeaderTimeout time.Duration
	// BodyTimeout is how long a client may take to send, or to take, the next
	// bytes of a body. Beyond that a body it sends must come with slowestBody, so
	// that one which comes byte by byte ends as well.
	BodyTimeout time.Duration
}

// slowestBody is an average, in bytes a second.
const slowestBody = 4 << 10

// bodyDeadline is when a body that began at some time must go on.
func (l *Limits) bodyDeadline(began time.Time, received int64) time.Time {
	next := time.Now().Add(l.BodyTimeout)
	whole := began.Add(l.BodyTimeout + time.Duration(received)*time.Second/slowestBody)
	if whole.Before(next) {
		return whole
	}
	return next
}
