// Package certs holds the certificates of this server, and the CAs of its clients with their
// revocation lists.
//
// # Generations
//
// A [Generation] is the certificates with their keys, at most one for each kind of key, the
// bundle of client CAs, their revocation lists, and the rule that extracts a client's name
// from its certificate. It is validated as a whole when it is made, and immutable afterwards.
// A reload makes a new one. [Server] uses the current generation at each handshake, so that
//
//   - a new certificate is served from the next handshake on;
//   - a client certificate that a new revocation list contains is refused from the next
//     handshake on;
//   - a removed CA is not accepted from the next handshake on, including resumed
//     sessions: the chain is verified at every handshake, not only when a session
//     begins;
//   - open connections stay open, and their owner must call
//     [Generation.Identify] again before it relies on an earlier result.
//
// The keys of session tickets are not part of a generation, so clients can resume
// sessions after a reload.
//
// # Trust
//
// A client is who its certificate says if the chain currently leads to one of the
// client CAs, for client authentication, and the certificate contains exactly one
// name of the kind that the rule selects. If there are revocation lists, lists in force must
// cover the chain and not contain any of it. A certificate with no name or with several
// identifies no one: if the server picked one of several names, whoever requests a
// certificate could choose it.
//
// The package reads no files, and knows no HTTP, no configuration format and no
// logger.
package certs
