// Package acl decides which users may read and write which etcd v2 keys.
//
// # Keys
//
// A decision depends on a canonical key and on nothing else. A request path is
// percent-decoded once, empty segments and a trailing slash are removed
// (clients send both), and a path that two programs could read differently is
// refused; see [ParsePath]. The proxy forwards the same canonical path, encoded
// again segment by segment. The client's own spelling is never forwarded.
//
// # Rules
//
// A rule names a key prefix, the users who may write there and the users who
// may read there. In the configuration an empty list means everyone.
//
//   - A prefix covers whole segments: /conftool covers /conftool and
//     /conftool/x, but not /conftoolX.
//   - The deepest rule that covers a key governs it. Rules higher up do not add
//     to it.
//   - A write to a key can remove or replace everything below it, and a read can
//     be recursive. The package does not parse whether a given operation does
//     so. An operation is therefore allowed only if the governing rule allows it
//     and every rule below the key allows it too.
//   - If there is no rule for "/", no one may write a key that no rule covers.
//   - No one may write a reserved key; see [Key.Reserved].
//
// [Rules] holds a compiled table. It is immutable and safe for concurrent use.
// A decision takes time proportional to the depth of the key and independent of
// the number of rules.
//
// # Users
//
// [Users] holds the users of htpasswd files and verifies their passwords. Its
// documentation says what it remembers and what a login costs.
//
// The package knows no HTTP, no configuration format and no logger.
package acl
