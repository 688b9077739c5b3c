package fast

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
)

// plain reports whether the request is one for this lane.
func (c *conn) plain(s *lane.Snapshot) bool {
	r := &c.request
	if r.Minor != 1 || r.Expect || r.Upgrade && r.Body != http1.None || r.Target[0] != '/' {
		return false
	}
	// The standard lane refuses what net/http cannot parse, with an answer of its own.
	// Only an escape can be the reason.
	if strings.IndexByte(r.Target, '%') >= 0 && lane.CheckTarget(r) != nil {
		return false
	}
	switch r.Method {
	case http.MethodGet:
		if _, query, ok := strings.Cut(r.Target, "?"); ok && gate.Waits(query) {
			if _, shared := lane.ParseWatch(query); !shared || !s.SharesWatches(r.Authorization) {
				return false
			}
		}
		return r.Body == http1.None
	case http.MethodHead, http.MethodDelete:
		return r.Body == http1.None
	case http.MethodPut, http.MethodPost:
		return r.Body == http1.None || r.Body == http1.Length && r.Length <= min(maxPlainBody, s.Limits.Body)
	}
	return false
}

// serveRequest carries one request with a head of n bytes. It reports whether the
// connection can serve another one.
func (c *conn) serveRequest(s *lane.Snapshot, n int) bool {
	r := &c.request
	c.answered = time.Time{}
	// A literal would be made elsewhere and copied.
	c.rec = observe.Record{}
	c.rec.Peer, c.rec.Started, c.rec.Proto = c.peer, time.Now(), "HTTP/1.1"
	c.rec.UserAgent, c.rec.RequestID = r.UserAgent, observe.ClientRequestID(r.RequestID)
	end := n + int(r.Length)
	alive := !r.Close && !c.Conns.Draining()
	err := c.respond(s, n, end, &alive)
	if c.watch != nil {
		c.have = copy(c.in, c.in[end:c.have])
		if c.have == 0 {
			c.putBuffers()
		}
		return c.finishWatch()
	}
	c.answered = c.Exchange.Observer.Answered(&c.rec)
	if err != nil || !alive {
		return false
	}
	c.have = copy(c.in, c.in[end:c.have])
	return true
}

// respond decides about a request and answers it. The error means that the connection
// cannot be used any more: the client has disconnected, or its answer was broken off.
func (c *conn) respond(s *lane.Snapshot, head, end int, alive *bool) error {
	r := &c.request
	req := gate.Request{Method: r.Method, Target: r.Target, Authorization: r.Authorization, Peer: c.peer}
	refusal := c.Exchange.Decide(&c.present, s, &req, &c.rec)
	c.present.Stop()
	if refusal == nil {
		switch err := c.readBody(s, end); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			refusal = gate.RefuseSlowBody
		case err != nil:
			refusal = gate.RefuseBody
		case c.rec.Op.Watch:
			refusal, err = c.startWatch(s, *alive)
			if err != nil {
				return err
			}
		default:
			refusal, err = c.forward(s, c.in[head:end], *alive)
			if err != nil {
				return err
			}
		}
	}
	if refusal == nil {
		return nil
	}
	*alive = *alive && !refusal.Close
	if err := c.refuse(s, refusal, *alive); err != nil {
		return err
	}
	// The client may still send the rest of its body. As in the standard lane the rest is
	// discarded, and the connection stays in use.
	if *alive {
		return c.readBody(s, end)
	}
	return nil
}

// readBody reads until the whole request has arrived.
func (c *conn) readBody(s *lane.Snapshot, end int) error {
	if c.have >= end {
		return nil
	}
	defer c.setPartial(time.Time{})
	pace := s.Limits.NewPace()
	for c.have < end {
		c.setPartial(time.Now())
		if end > len(c.in) {
			larger := make([]byte, end+inSize)
			copy(larger, c.in[:c.have])
			// The strings of the head remain in the old memory.
			c.in = larger
		}
		if err := c.tls.SetReadDeadline(pace.Begin()); err != nil {
			return err
		}
		c.idleArmed = time.Time{}
		n, err := lane.ReceiveMore(c.tls, c.in[c.have:])
		pace.End(n)
		c.have += n
		if n == 0 && err != nil {
			if err == io.EOF { //nolint:errorlint // never wrapped: crypto/tls returns io.EOF itself
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// forward carries an operation to etcd and its answer to the client. If it returns a
// refusal, the caller sends it.
func (c *conn) forward(s *lane.Snapshot, body []byte, alive bool) (*gate.Refusal, error) {
	r, call := &c.request, &c.call
	*call = lane.Call{} // a literal would be made elsewhere and copied
	call.Snapshot, call.Peer, call.Op, call.Client = s, c.peer, &c.rec.Op, c
	call.ContentType, call.Accept, call.AcceptEncoding, call.UserAgent = r.ContentType, r.Accept, r.AcceptEncoding, r.UserAgent
	call.Authorization, call.Body = r.Authorization, body
	if s.Changeover != nil {
		call.Present = &c.present
		defer c.present.Stop()
	}
	answer, refusal, err := c.Exchange.Do(context.Background(), call, c.body)
	c.rec.Upstream, c.rec.Turn, c.rec.Shared = call.Waited, call.Turn, answer.Shared
	if refusal != nil || err != nil {
		return refusal, err
	}
	defer answer.Close()
	return nil, c.send(s, &answer, alive)
}
