// Package lane contains what all lanes have in common. A lane only reads requests from a
// connection and writes responses to it; everything between the two is here.
//
// [Exchange] carries one operation of one client: it asks the gate, joins a shared read or
// a shared watch, forwards the operation to etcd, receives the answer, and turns a failure
// into a refusal. It needs no client socket, so it is tested without one.
//
// [Snapshot] holds everything that decides about a request. A request loads it once from
// [Current], so that it never sees half of a new configuration.
//
// [Conns] registers the connections of all lanes, and [Watches] all running watches.
// Connections and watches can outlive the snapshot that allowed them, and must then be
// ended from outside: a reload can revoke a reader's right, a shutdown cannot wait for a
// watch, and an idle connection may have to make room for a new one.
package lane
