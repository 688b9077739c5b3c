// Package proxy is the front end: it accepts connections, ends TLS, and hands each
// connection to a lane.
//
// # The way of a request
//
//  1. A connection is accepted if its address may have one more. TLS ends here, with the
//     certificate and the client CAs of the snapshot in force.
//  2. A lane reads the request. Package fast carries plain requests of HTTP/1.1. Anything
//     else goes to package std, with the bytes that were read. On HTTP/1 only messages of
//     the strict grammar of package http1 are read at all. A fuzz test holds both lanes to
//     the same answers.
//  3. The snapshot is loaded, once: rules, users, certificates, limits, upstream.
//  4. The gate decides; package gate has the order. A refusal is answered in the shape of
//     etcd's own errors, and nothing reaches etcd.
//  5. [lane.Exchange] carries what is allowed. A read joins the next request for the same
//     target if one is under way already; package share proves that this is as fresh. Any
//     other operation is forwarded: the method, the canonical target, the body, and a few
//     named fields of the head. Everything else that the client sent ends here:
//     credentials, claims of identity, framing, upgrades.
//  6. etcd's answer goes back unchanged, without the fields that belong to its connection
//     and without its invitation to every web page. An answer that is not too large is
//     received whole before its client takes it: a slow client holds memory, which is
//     bounded, and no connection to etcd.
//  7. The request is counted and logged by package observe, without any value or secret.
//
// # What is promised
//
// A write is never sent to etcd twice. A read is sent a second time only if the pooled
// connection turns out to have been closed before. A running watch ends with its event,
// its client, etcd, the reader's right, or this process. In all but the first case its
// answer is broken off rather than ended, so that the client connects again and does not
// take an empty body for an event. Every TLS connection ends with close_notify.
package proxy
