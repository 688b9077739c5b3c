// Package layout says where the tree of v2 lies in a v3 store. It has no network and no state.
//
// All keys lie in the range from P.v2/ to P0, where P is a prefix that may be empty. The keys of
// v2 begin with a slash.
//
//	P/a/b         the value of the file /a/b, as v3 clients expect it
//	P.v2/f/a/b    the record of the file /a/b
//	P.v2/d/a      the record of the directory /a; the root has none
//	P.v2/log      the last event: an [Entry]
//	P.v2/meta     the tree exists: a [Meta]
//	P.v2/q/a      the number of the last name that a POST chose in the directory /a
//	P.v2/s/ID     a running proxy: its session
//	P.v2/keeper   the session of the proxy that expires nodes
//	P.v2/lock     held by commands that change more than the tree
//
// Each event is one revision, in which log is put. Its index is the revision plus the offset in
// meta. A record carries the indexes of its node, and only if they are not those of the revision
// that put the record: most records are empty.
//
// A file has a value and a record, a directory has a record, and the parent of a node is a
// directory or the root. So the deepest directory that exists vouches for all directories above
// it, and the first component that is missing for everything below it. Values without a record
// are not of v2. They are invisible to its clients, and no write of v2 touches them.
package layout
