// Package proxy is the front end: it accepts connections, ends TLS, and hands each
// connection to a lane.
//
// # The way of a request
//
//  1. A connection is admitted when there is a place for it; package account says whose turn
//     it is, and who gives a place up. TLS ends here, with the certificate and the client CAs
//     of the snapshot in force.
//  2. A lane reads the request. Package fast carries plain requests of HTTP/1.1. All other
//     requests go to package std, with the bytes that were read. On HTTP/1 only messages
//     of the strict grammar of package http1 are read at all. A fuzz test checks that both
//     lanes give the same answers.
//  3. The snapshot is loaded, once: rules, users, certificates, limits, upstream.
//  4. The gate decides; package gate has the order. A refusal is answered in the shape of
//     etcd's own errors, and nothing reaches etcd.
//  5. [lane.Exchange] carries an allowed operation. If a request for the same target is in
//     flight, a read joins the next one; package share proves that its answer is as fresh
//     as its own would be. Any other operation is forwarded: the method, the canonical
//     target, the body, and a few named fields of the head. Everything else that the
//     client sent is dropped: credentials (unless the configuration forwards them), claims of
//     identity, framing, upgrades.
//  6. etcd's answer is returned unchanged, except for the fields that belong to its
//     connection and those that open it to every web page. An answer that is not too large
//     is received whole before it is sent: a slow client then holds memory, which is
//     bounded, and no connection to etcd.
//  7. The request is counted and logged by package observe, without any value or secret.
//
// # What is promised
//
// A write is never sent to etcd twice. A read is sent a second time only if the pooled
// connection that carried it turns out to have been closed before. A running watch ends
// when its event arrives, when the client disconnects, when etcd ends it, when the reader
// loses the right, when others need its place and its client has more than its share, or
// when this process exits or makes its clients leave. In all cases but the first the answer
// is broken off rather than ended, so that the client connects again and does not take an
// empty body for an event. Every TLS connection ends with close_notify.
package proxy
