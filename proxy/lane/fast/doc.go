// Package fast is the lane for plain requests of HTTP/1.1.
//
// One goroutine for each connection reads a request, passes it to [lane.Exchange] and
// writes the answer. It works in buffers that it holds only while a request is under way:
// an idle connection waits in 512 bytes. Steady traffic allocates nothing but what
// crypto/tls allocates.
//
// A request that is not plain is handed over to the standard lane, with the bytes that
// were read, for the rest of the connection's life: watches that cannot be shared, chunked
// or large bodies, expectations, HTTP/1.0, other methods, and heads that will be refused.
// A fuzz test holds both lanes to the same answers and to the same requests to etcd.
package fast
