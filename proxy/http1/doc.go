// Package http1 is the wire grammar of HTTP/1.1, read strictly: heads and the
// framing of bodies, without sockets and without policy.
//
// A front end and the server behind it must never see two different messages in
// the same bytes. So this package refuses what implementations have read in
// different ways, instead of interpreting it: bare line feeds, folded fields, blanks before a colon, two
// lengths, a length beside a transfer coding, codings other than chunked, chunk
// extensions, versions other than 1.0 and 1.1. net/http accepts all
// that this package accepts and reads it in the same way; a fuzz test compares them.
// What HTTP allows to ignore is ignored: an Upgrade field, trailers.
//
// The fields of HTTP/2 are held to the same rules; see [Request.Assemble].
//
// Nothing is allocated in the steady state. Parsed strings are views into the
// caller's buffer: they are valid until the caller changes those bytes, and must
// be copied to be kept.
package http1
