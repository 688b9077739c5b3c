// Package v2state reads the v2 store of an etcd member from the files of its data folder: the newest
// snapshot, and the write-ahead log behind it. The member may run meanwhile; nothing is changed.
//
// The API of etcd does not list hidden keys. The files have all of them, with their indexes and
// expiries.
//
// A snapshot has the store as JSON. The entries behind it are applied by package v2store, in the same
// way as etcd applies them when it starts. Its store also contains what etcd itself records about
// members, at /0, and about users, at /2, because these records raise the index too. The keys of clients are
// below /1. As each change raises the index, the store is the same in all members when they have
// the same index.
//
// Only entries that are known to be committed are applied. The log says so of an entry when the next one
// is written.
package v2state
