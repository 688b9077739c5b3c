// Package upstream carries requests to etcd over a pool of connections.
//
// It speaks HTTP/1.1 and nothing else: etcd serves its v3 API to whoever speaks
// HTTP/2 on the same port, and to whoever upgrades.
//
// # What is sent twice
//
// Nothing but a GET or HEAD whose pooled connection was closed by etcd before the
// first byte of an answer: once more, on a new connection. Before any other
// method goes out on a pooled connection, the connection is looked at: one that
// was closed, or that holds bytes nobody asked for, is dropped before anything
// was sent on it. If the connection is lost later, it is not known whether etcd
// carried the request out; the error says so ([UnknownOutcome]).
//
// # Endpoints
//
// The first endpoint is preferred, because it is the local member. Another one
// is used only while the first accepts no connection. While an endpoint is down
// and others are there, it is dialled in the background until it is back; a
// single endpoint is dialled anew by each request. [Discover] finds endpoints in
// DNS, the local member first.
//
// The package takes nothing from a client's framing: a request is its method,
// target, body and a few fields, and is framed here.
package upstream
