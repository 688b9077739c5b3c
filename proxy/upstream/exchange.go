package upstream

import (
	"context"
	"errors"
)

// Request is what etcd is asked.
type Request struct {
	Method string
	// Target is the path and query, in the form in which they are sent.
	Target string
	// The fields of the client's head that etcd gets; "" for none.
	ContentType, Accept, AcceptEncoding, UserAgent string
	// ForwardedFor and RealIP are the client's address, for etcd's logs.
	ForwardedFor, RealIP string
	// Body is sent with its length; nil for no body.
	Body []byte
	// Watch is set if the answer may take for ever.
	Watch bool
}

// mostFirstLine is what a plaintext etcd reads of the first line on a new
// connection; it resets the connection if there is more.
const mostFirstLine = 4096

// Do sends a request and waits for the head of the answer. The response must be
// closed. When ctx ends, Do and reading from the response fail at once. The
// error is an [*Error].
func (p *Pool) Do(ctx context.Context, req *Request) (*Response, error) {
	slot := slotFor(req)
	if busy := p.enter(ctx, slot); busy != nil {
		return nil, busy
	}
	c, failed := p.connect(ctx, false)
	for failed == nil {
		// Each new connection can be the one that resets; a used one cannot.
		if !c.reused && !c.at.Endpoint.tls && len(req.Method)+len(req.Target)+len("  HTTP/1.1\r\n") > mostFirstLine {
			c.at.put(c)
			failed = &Error{Kind: TooLong, Endpoint: c.at.String(), Err: errors.New("the request target is too long")}
			break
		}
		r := c.use(ctx, slot, req)
		err := c.exchange(ctx, req)
		if err == nil {
			if err = r.begin(); err == nil {
				return r, nil
			}
		}
		again := c.reused && safe(req.Method) && !c.begun()
		r.disconnect()
		if failed = classify(ctx, c.at, req.Method, err); !again || failed.Kind == Timeout || failed.Kind == Canceled {
			break
		}
		p.count.Stale.Add(1)
		p.count.Retries.Add(1)
		c, failed = p.connect(ctx, true)
	}
	p.leave(slot)
	return nil, failed
}
