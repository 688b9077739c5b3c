// Package certs holds this server's certificate and the CAs of its clients.
//
// # Generations
//
// A [Generation] is one certificate with its key, the bundle of client CAs, and
// the rule that takes a client's name out of its certificate. It is checked whole
// when it is made and immutable afterwards. A reload makes a new one; [Server]
// asks for the current one at each handshake, so that
//
//   - a new certificate is served from the next handshake on;
//   - a CA that was taken away is refused from the next handshake on, resumed
//     sessions included: the chain is verified at every handshake, not only when
//     a session begins;
//   - connections that are open stay open, and their owner asks
//     [Generation.Identify] again before it relies on an earlier answer.
//
// Keys of session tickets are not part of a generation, so clients can resume
// their sessions across a reload.
//
// # Trust
//
// A client is trusted to be who its certificate says if the chain leads to one
// of the client CAs now, for client authentication, and the certificate holds
// exactly one name of the kind that the rule asks for. None or two are no name:
// picking one would let whoever asks for a certificate choose.
//
// The package reads no files, and knows no HTTP, no file format of configuration
// and no logger.
package certs
