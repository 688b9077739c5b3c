// Package proxytest provides the real parts of tests and of the demo: an embedded
// etcd, an installed etcd as a process, a certificate authority, password files, a link
// that can be cut, and a client that shows the bytes of an answer. It is never part of
// the production binary.
package proxytest
