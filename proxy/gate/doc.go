// Package gate decides what a request asks for and whether its client may do it.
//
// A lane fills a [Request] with what it has read; nothing in it is trusted. [Gate.Decide]
// turns it into an [Operation], or into a [Refusal] in the shape of etcd's own errors.
// The steps have a fixed order:
//
//  1. The method must be one of etcd's v2 API, and there must be memory for it.
//  2. The target is decoded once into one canonical path. A spelling that two readers
//     could understand differently is refused. What is decided on is what etcd is sent.
//  3. The path names a [Surface]. What has no name is closed.
//  4. Protocol upgrades, a missing required certificate and writes in read-only mode
//     are refused.
//  5. The table of rules says who may do it: everyone, or a group. Only for a group the
//     client is identified, by its password or else by its certificate.
//
// The gate reads its arguments and how much memory is left, and nothing else: it works
// while etcd is down. It is written once; every lane passes through it. Where something
// is not known the answer is no: a path without a surface, a spelling with two readings,
// a certificate without exactly one name, a key without a rule.
package gate
