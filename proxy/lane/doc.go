// Package lane is what all lanes have in common. A lane reads requests from a connection
// and writes responses to it, and does nothing else; everything between is here.
//
// [Exchange] carries one operation of one client: it asks the gate, joins a shared read or
// a shared watch, forwards the operation to etcd, receives the answer, and turns a failure
// into a refusal. It needs no socket of a client, so it is tested without one.
//
// [Snapshot] is everything that decides about a request. A request loads it once from
// [Current], so that it never sees half of a new configuration.
//
// [Conns] registers the connections of all lanes, and [Watches] all running watches. Both
// outlive what allowed them: a reload can take a reader's right away, a shutdown cannot
// wait for a watch, and an idle connection may have to make room for a new one.
package lane
