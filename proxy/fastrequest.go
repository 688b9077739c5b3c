package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"etcd-tlsproxy/proxy/http1"
)

// plain reports whether the request is one for this lane.
func (c *fast) plain(s *Snapshot) bool {
	r := &c.request
	if r.Minor != 1 || r.Expect || r.Upgrade || r.Target[0] != '/' {
		return false
	}
	// What net/http cannot parse is refused by what stands before it, with an
	// answer of its own; only an escape can be the reason.
	if strings.IndexByte(r.Target, '%') >= 0 && checkTarget(r) != nil {
		return false
	}
	switch r.Method {
	case http.MethodGet:
		if _, query, ok := strings.Cut(r.Target, "?"); ok && waits(query) {
			if _, shared := parseWatch(query); !shared || s.Watches == nil {
				return false
			}
		}
		return r.Body == http1.None
	case http.MethodHead, http.MethodDelete:
		return r.Body == http1.None
	case http.MethodPut, http.MethodPost:
		return r.Body == http1.None || r.Body == http1.Length && r.Length <= min(mostPlain, s.Limits.Body)
	}
	return false
}

// answer carries one request with a head of n bytes, and reports whether the
// connection can serve another.
func (c *fast) answer(s *Snapshot, n int) bool {
	r := &c.request
	c.rec = record{peer: c.peer, started: time.Now(), proto: "HTTP/1.1", userAgent: r.UserAgent}
	end := n + int(r.Length)
	alive := !r.Close && !c.lanes.draining.Load()
	err := c.carry(s, n, end, &alive)
	if c.watch != nil {
		c.have = copy(c.in, c.in[end:c.have])
		if c.have == 0 {
			c.giveBack()
		}
		return c.finishWatch()
	}
	c.answered(&c.rec)
	if err != nil || !alive {
		return false
	}
	c.have = copy(c.in, c.in[end:c.have])
	return true
}

// carry decides, and answers. The error means that the connection is of no more
// use: the client is gone, or its answer was broken off.
func (c *fast) carry(s *Snapshot, head, end int, alive *bool) error {
	r := &c.request
	req := Request{Method: r.Method, Target: r.Target, Authorization: r.Authorization, Peer: c.peer}
	refusal := c.gate.Decide(context.Background(), s, &req, &c.rec.op)
	if refusal == nil {
		if err := c.readBody(s, end); err != nil {
			refusal = refuseBody
			if errors.Is(err, os.ErrDeadlineExceeded) {
				refusal = refuseSlowBody
			}
		} else {
			if c.rec.op.Watch {
				refusal, err = c.startWatch(s, *alive)
			} else {
				refusal, err = c.forward(s, c.in[head:end], *alive)
			}
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
	// The client may send the rest of its body yet; it is dropped, as in the other
	// lane, and the connection serves on.
	if *alive {
		return c.readBody(s, end)
	}
	return nil
}

// readBody reads until the whole request is here.
func (c *fast) readBody(s *Snapshot, end int) error {
	began, had := time.Now(), c.have
	for c.have < end {
		if c.have == len(c.in) || end > len(c.in) {
			larger := make([]byte, end+scratchIn)
			copy(larger, c.in[:c.have])
			// The head's strings go on living in the old memory.
			c.in = larger
		}
		if err := c.conn.SetReadDeadline(s.Limits.bodyDeadline(began, int64(c.have-had))); err != nil {
			return err
		}
		c.idleSince = time.Time{}
		n, err := c.conn.Read(c.in[c.have:])
		c.have += n
		if n == 0 && err != nil {
			if err == io.EOF {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}
