// Package fronttest starts a complete proxy on loopback, and provides the clients
// and the stand-ins for etcd that black-box tests of it need.
//
// It is apart from package proxytest because that package is imported by the internal
// tests of packages that the proxy is made of, which must not import the proxy.
package fronttest
