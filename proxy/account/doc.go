// Package account shares finite resources among clients.
//
// A client's [Account] is its address (an IPv4 address, or a /64 of IPv6) until the client
// has authenticated, and its user's name in its network afterwards. Every resource that a
// client can exhaust is drawn from a [Pool] through an account. A pool has a total, and
//
//   - an account may use everything in a pool that no other account wants, except the reserve;
//   - when accounts wait, networks (a /24 of IPv4, a /48 of IPv6) take turns first, and the
//     accounts of a network second. Those that hold least come first;
//   - when a pool runs short, accounts above their share give up resources first. The share
//     of a network is the total divided by the networks that hold something or wait, and the
//     share of an account is the share of its network, divided in the same way;
//   - the reserve is for writes or, in a pool of connections, for accounts below their share.
//
// With N networks that want everything, every other network thus gets at least 1/(N+1) of
// each pool, from however many addresses of their networks the N ask.
//
// [Turns] are for what is no number of units, such as a key that several clients change: one at a time
// works on it, in the order above.
//
// # Cost
//
// The account is found once for each connection. While nobody waits and a pool is less than
// three quarters full, [Pool.Acquire] and [Pool.Release] need an atomic operation on the
// account and one on the pool: no lock, no allocation, no reading of the clock. All else
// happens under the lock of the pool. Who holds how much is counted by a survey of all
// accounts, at most each 50 ms. The order of the turns may be wrong for that long; the total
// and the reserve are exact always.
//
// # Taking back
//
// What can be taken back is registered as a [Holder]. When accounts wait, silent holders are
// revoked first and running watches last, and always at a bounded rate: a fleet of clients
// that was cut does not return all at once. A holder is revoked only if its account is above
// its share. Accounts that have proved a password lately are last. An account that had a
// holder revoked for the sake of others must wait before its next connection; see
// [Account.Pause]. A silent holder is also revoked if its own account needs the place for
// something new. Work that must not end, such as a write under way at etcd, is [Busy].
//
// The package is at the bottom of the tree: it imports no other package of this module, so
// that every package may use it. It opens no sockets.
package account
