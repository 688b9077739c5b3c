// Package upstream carries requests to etcd over a pool of connections.
//
// It speaks HTTP/1.1 only: on the same port, etcd serves its v3 API to clients that speak
// HTTP/2 or upgrade to it.
//
// # What is sent twice
//
// Only a GET or HEAD is sent twice, and only if etcd closed its pooled connection before
// the first byte of an answer. It is sent once more, on a new connection. A pooled
// connection is probed before each use: if it was closed, or holds unexpected bytes, it
// is dropped before anything is sent on it. If a connection is lost after a write was
// sent, it is unknown whether etcd carried the write out, and the error says so
// ([UnknownOutcome]).
//
// # Endpoints
//
// The first endpoint is preferred, because it is the local member. Another endpoint is
// used only while the first accepts no connections. An endpoint that is down is dialed
// in the background until it is back, if there are others. A single endpoint is dialed
// by each request. [Discover] finds endpoints in
// DNS, the local member first.
//
// The package uses nothing of a client's framing. A request is a method, a target, a
// body and a few fields, and this package frames it.
package upstream
