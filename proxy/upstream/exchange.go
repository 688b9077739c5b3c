package upstream

import (
	"context"
	"errors"
	"time"
)

// Request is a request to etcd.
type Request struct {
	Method string
	// Target is the path and query, spelled as they are sent.
	Target string
	// The fields of the client's head that are passed on; "" sends none.
	ContentType, Accept, AcceptEncoding, UserAgent string
	// ForwardedFor and RealIP are the client's address, for etcd's logs.
	ForwardedFor, RealIP string
	// Authorization is the value of that field; "" stands for the pool's own.
	Authorization string
	// Body is sent with its length; nil means no body.
	Body []byte
	// Watch is set if the answer may take forever.
	Watch bool
	// Past is set for a watch whose event may exist already. It has the slot of a read until
	// [Response.KeepWatching] is called.
	Past bool
}

// maxRequestLine is the longest request line, in bytes, that a plaintext etcd reads on
// a new connection. It resets the connection if the line is longer.
const maxRequestLine = 4096

// Do sends a request and waits for the head of the answer. The caller must close the
// response. When ctx ends, Do and reads of the response fail at once. The error is an
// [*Error].
func (p *Pool) Do(ctx context.Context, req *Request) (*Response, error) {
	return p.do(ctx, req, nil)
}

// do sends a request to one endpoint, or to the preferred one that works if only is nil.
// A request to one endpoint is sent once and does not change which endpoint is avoided:
// its caller wants to know the endpoint's state.
func (p *Pool) do(ctx context.Context, req *Request, only *endpoint) (*Response, error) {
	slot := slotFor(req)
	if busy := p.acquire(ctx, slot); busy != nil {
		return nil, busy
	}
	c, failed := p.connect(ctx, only, false)
	for failed == nil {
		// Only the first request on a connection is limited, so a reused one cannot
		// be reset.
		if !c.reused && !c.at.Endpoint.tls && len(req.Method)+len(req.Target)+len("  HTTP/1.1\r\n") > maxRequestLine {
			c.at.putIdle(c, time.Now())
			failed = &Error{Kind: TooLong, Endpoint: c.at.String(), Err: errors.New("the request target is too long")}
			break
		}
		r := c.bind(ctx, slot, req)
		r.recorded = r.recorded || only != nil
		err := c.exchange(ctx, req)
		if err == nil {
			if err = r.start(); err == nil {
				return r, nil
			}
		}
		again := only == nil && c.reused && safe(req.Method) && !c.answered()
		failed = classify(ctx, c.at, req.Method, err)
		again = again && failed.Kind != Timeout && failed.Kind != Canceled
		r.recorded = r.recorded || again // etcd did not refuse to answer: it never saw the request
		r.disconnect()
		if !again {
			break
		}
		p.count.Stale.Add(1)
		p.count.Retries.Add(1)
		c, failed = p.connect(ctx, nil, true)
	}
	p.release(slot)
	return nil, failed
}
