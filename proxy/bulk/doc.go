// Package bulk bounds the bytes of the large answers that etcd sends at the same time.
//
// etcd holds an answer of its v2 API in memory until it is sent, several times over: as a copy
// of the tree, and as JSON in a buffer that has grown. A client that asks for a large answer
// many times makes etcd grow by as many copies, whatever the proxy does with them. So a read
// must be charged before etcd receives it, when its size is not known yet.
//
// [Limits] remembers the sizes of large answers. A read whose answer is known to be large is
// charged with its size. Reads of trees whose answers are not known to be large are bounded in
// number until their answers begin, to fewer if the tree is not known at all. An answer that turns
// out to be large must then get its bytes, or is given up and asked for again when it is its turn.
// Answers of a megabyte and more are bounded together with them until they begin, because encoding
// them takes etcd's processors from others. Other reads of unknown size are not bounded here: equal
// ones are shared, so that they cannot be many times larger than what was written.
//
// A write is charged like a read of the value before and of the one after; see [Limits.Write].
//
// Watches are charged as long as they run; see [Limits.Watch].
package bulk
