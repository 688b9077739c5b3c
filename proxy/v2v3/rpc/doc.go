// Package rpc calls an etcd by its v3 API, at one of several endpoints at a time.
//
// It uses the plain stubs of gRPC. It repeats nothing, except a call that etcd refused because
// its token was not valid. So a call has at most one execution, and whoever gets an error for
// a write may find out by [Refused] whether there was none.
package rpc
