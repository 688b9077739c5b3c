// Package std is the lane on net/http: it serves every form of request that HTTP allows
// and the gate accepts, HTTP/2 included.
//
// net/http is lenient where front ends and servers have disagreed before, and answers what
// it refuses in plain text, which clients of etcd cannot parse. So on HTTP/1 net/http reads
// through a strictConn, which passes on only messages of the strict grammar of package
// http1. HTTP/2 has its own framing, which net/http checks; the handler applies the grammar
// to the fields.
//
// A request body is received whole before anything is sent to etcd: a write reaches etcd
// complete or not at all, and a slow client holds no connection to etcd.
package std
