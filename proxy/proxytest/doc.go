// Package proxytest provides the real parts of tests, of the demo, and of the benchmark, the
// soak test and the siege: an embedded etcd, installed programs as processes on free ports, a
// build of the proxy, a certificate authority, password files, a link that can be cut, and a
// client that shows the bytes of an answer. It is never part of the production binary.
package proxytest
