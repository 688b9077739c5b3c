// Package acl decides who may do what to which etcd v2 key.
//
// # Keys
//
// A decision is made on a canonical key and on nothing else. A request path is
// percent-decoded once, empty segments and a trailing slash are folded away
// (clients send them), and whatever two readers could read differently is
// refused: see [ParsePath]. The same canonical path, encoded again from its
// segments, is what the proxy forwards; the client's spelling never travels on.
//
// # Rules
//
// A rule names a key prefix, the users who may write there and the users who
// may read there. An empty list in the configuration stands for everyone.
//
//   - A prefix covers whole segments: /conftool covers /conftool and
//     /conftool/x, not /conftoolX.
//   - The deepest rule that covers a key governs it, alone: rules are not added
//     up along the path.
//   - An operation touches all that it can reach. A write to a key can remove or
//     replace everything below it, and a read can be recursive; whether this one
//     does is never parsed. So an operation is allowed only if the governing rule
//     allows it and every rule below the key does too.
//   - Without a rule for "/" nobody may write what no rule covers.
//   - Some keys nobody may write: see [Key.Reserved].
//
// [Rules] holds a compiled table. It is immutable, safe for concurrent use, and
// answers in time proportional to the depth of the key, whatever the number of
// rules.
//
// # Users
//
// [Users] holds the users of htpasswd files and verifies their passwords; see
// there for what is remembered and what it costs.
//
// The package knows no HTTP, no file format of configuration and no logger.
package acl
