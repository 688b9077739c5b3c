// Package victim contains the clients that suffer from a siege, or do not. Each request has a
// connection of its own from an address of its own, with a full handshake: a client that arrives
// during an attack has nothing that was set up before.
//
// Requests are sent at fixed times, whether or not earlier ones were answered, and a latency
// counts from the time at which its request was due. A server that stalls is thus charged for
// every request that had to wait.
package victim
