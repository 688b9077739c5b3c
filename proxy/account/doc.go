// Package account is the contract for sharing finite resources among clients.
//
// A client's account is its address (an IPv4 address, or a /64 of IPv6) until the client
// has authenticated, and its user's name afterwards. Every resource that a client can
// exhaust is drawn from a pool through its account: connections, handshakes, requests under
// way, bytes, slots at etcd, password hashes, watches, log lines. A pool has a total, and
//
//   - an account may use everything in a pool that no other account wants, except a reserve;
//   - when accounts wait, networks take turns first, and accounts within a network second;
//   - when a pool runs short, accounts above their share give up resources first;
//   - writes have a reserve of their own.
//
// The package is at the bottom of the tree: it imports no other package of this module,
// so that every package may use it. A client that does not wait must cost no lock, no
// allocation and no reading of the clock.
//
// Until pools live here, the limits of package proxy (connections and handshakes of an
// address), of package lane (watches of a user) and of package upstream (requests and
// buffered bytes) bound each client on their own.
package account
