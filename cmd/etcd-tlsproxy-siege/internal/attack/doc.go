// Package attack contains the attackers of a siege. They run in a process of their own, so that
// their CPU time can be told from that of the victims, and so that their files are not the
// victims'.
//
// An attacker is as cheap as its attack allows: it sends bytes that were built in advance,
// resumes TLS sessions unless the handshake is the attack, and parses of an answer only what it
// needs.
package attack
