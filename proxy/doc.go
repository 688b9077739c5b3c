// Package proxy is the front end: it carries one request from decrypted bytes
// to its response.
//
// # The way of a request
//
//  1. A connection is accepted, and TLS ends here, with the certificate and the
//     client CAs of the snapshot in force.
//  2. A lane reads the request. The fast lane carries plain requests of HTTP/1.1
//     in buffers of its own; all else, with the bytes already read, goes to the
//     standard lane on net/http. On HTTP/1 only messages that the strict grammar of
//     package http1 accepts are read at all; HTTP/2 is net/http's. Both lanes meet
//     at the gate, and a fuzz test holds them to the same answers.
//  3. The snapshot is loaded, once: rules, users, certificates, limits, upstream.
//  4. The [Gate] decides: one canonical target or 400; then the surface it lies
//     on; then the client's identity, if it matters; then the rules. A refusal is
//     answered in the shape of etcd's own errors, and nothing reaches etcd.
//  5. A read joins the next request for the same target, if one is on its way
//     already: package share has the argument why that is as fresh. Else the
//     operation is forwarded: the method, the canonical target, the body,
//     received whole, and four fields of the head. Everything else the client
//     sent ends here: credentials, claims of identity, framing, upgrades.
//  6. etcd's answer goes back as it is, without the fields that belong to its
//     connection and without its invitation to every web page. One that is not too
//     large is received whole before its client takes it: a slow client holds memory,
//     which is bounded, and no connection to etcd.
//  7. The request is counted; it is written to the access log, and if it was a
//     write or was refused to the audit log, without any value or secret.
//
// # What is promised
//
// A write is never sent to etcd twice. A read is sent a second time only if the
// pooled connection it went out on turns out to have been closed before. A
// running watch ends with its event, its client, etcd, the reader's right, or
// this process; in all but the first case its answer is broken off rather than
// ended, so that the client connects again instead of taking an empty body for
// an event. Every TLS connection ends with close_notify.
//
// Where something is not known, the answer is no: a path no one named, a spelling
// with two readings, a certificate without exactly one name, a key without a
// rule.
package proxy
