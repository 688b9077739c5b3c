// Package gate decides what a request asks for and whether its client may do it.
//
// A lane fills a [Request] with what it has read; nothing in it is trusted. [Gate.Decide]
// turns it into an [Operation], or into a [Refusal] in the shape of etcd's own errors.
// The steps have a fixed order:
//
//  1. The method must be one of etcd's v2 API, and there must be memory for it.
//  2. The target is decoded once into one canonical path. A spelling that two
//     readers could understand differently is refused. The decision is about
//     exactly the path that etcd is sent.
//  3. The path belongs to a [Surface]. Paths outside of all surfaces are closed.
//  4. Protocol upgrades and a missing required certificate are refused, and so are writes in
//     read-only mode and writes that cannot be recorded.
//  5. The table of rules says who may do it: everyone, or a group. The client is
//     identified only for a group: by its password or, without one, by its certificate.
//
// The gate depends on its arguments, on the memory that is left, on the audit log and on the
// turns of logins, and on nothing else, so it works while etcd is down. All lanes use the same
// gate. Anything that is not clearly allowed is refused: a path without a surface, a spelling
// with two readings, a certificate without exactly one name, a write of a key without a rule.
package gate
