// Package proxytest has the real parts that tests and the demo are made of: an
// etcd that is linked in, the installed one as a process, a certificate
// authority, password files, a link that can be cut, and a client that sees
// bytes. It is never part of the production binary.
package proxytest
