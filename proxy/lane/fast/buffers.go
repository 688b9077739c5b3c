package fast

import (
	"sync"

	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/lane"
)

// buffers is the memory of a connection while a request is under way.
type buffers struct {
	in []byte // receives requests
	// out is one TLS record to be sent. The head of an answer is built at its start. The
	// first bytes of a body are received at bodyAt, and the head is moved before them.
	out     []byte
	request http1.Request
	call    lane.Call
	body    func() []byte // bodyBuffer, made once
}

const (
	inSize  = 8 << 10
	outSize = lane.FullRecord
	bodyAt  = 1 << 10 // etcd's heads have 200 to 400 bytes

	// maxPlainBody bounds the bodies that this lane receives.
	maxPlainBody = 16 << 10

	// firstBytes holds a small write with a password, which then needs no second read, and
	// no deadline for one.
	firstBytes = 512
)

var bufferPool = sync.Pool{New: func() any {
	b := &buffers{in: make([]byte, inSize), out: make([]byte, outSize)}
	b.body = b.bodyBuffer
	return b
}}

// bodyBuffer is where the first bytes of a body are received: behind the space for the
// head, and so many that head and body fit into one TLS record.
func (b *buffers) bodyBuffer() []byte { return b.out[bodyAt : outSize-len(chunkTail)] }

// getBuffers gives buffers to a connection that has received something.
func (c *conn) getBuffers() {
	if c.buffers == nil && c.have > 0 {
		c.buffers = bufferPool.Get().(*buffers)
		copy(c.in, c.first[:c.have])
	}
}

// putBuffers returns the buffers of a connection that has used all received bytes.
func (c *conn) putBuffers() {
	if c.buffers == nil {
		return
	}
	if len(c.in) > 4*inSize {
		c.in = make([]byte, inSize) // in had grown for one large request
	}
	// Nothing of one client may reach the next client: neither the parsed parts of an
	// incomplete head, nor the progress of its parser.
	c.request = http1.Request{Fields: c.request.Fields[:0]}
	c.call = lane.Call{}
	bufferPool.Put(c.buffers)
	c.buffers, c.have = nil, 0
}
