package proxy

import (
	"net/http"
	"time"
)

// sender hands an answer to a client, which must take it: one that does not would hold
// memory and, while etcd has more to say, a connection to it.
type sender struct {
	w       http.ResponseWriter
	control *http.ResponseController
	limits  *Limits
	began   time.Time
	sent    int64
	http2   bool
}

func newSender(w http.ResponseWriter, r *http.Request, limits *Limits) *sender {
	return &sender{w: w, control: http.NewResponseController(w), limits: limits, began: time.Now(), http2: r.ProtoMajor == 2}
}

// write sends some of the body. What net/http keeps until the end it would send on
// HTTP/2 without a deadline, so the last bytes are flushed there.
func (s *sender) write(data []byte, last bool) error {
	return s.send(data, last && s.http2)
}

// send writes, and may wait until it is sent. The deadline is for a piece, and lifted
// again: on HTTP/2 it would end the whole stream later.
func (s *sender) send(data []byte, flush bool) error {
	defer s.control.SetWriteDeadline(time.Time{})
	for first := true; first || len(data) > 0; first = false {
		_ = s.control.SetWriteDeadline(s.limits.bodyDeadline(s.began, s.sent))
		piece := data[:min(len(data), mostCorked)]
		data = data[len(piece):]
		if len(piece) > 0 { // writing nothing is an error where no body is allowed
			if _, err := s.w.Write(piece); err != nil {
				return err
			}
			s.sent += int64(len(piece))
		}
	}
	if flush {
		return s.control.Flush()
	}
	return nil
}

// boundRest bounds what net/http writes by itself on HTTP/1: a 100 Continue, and what it
// has kept until a handler ends. A client that takes nothing would hold its connection.
func boundRest(w http.ResponseWriter, r *http.Request, limits *Limits) {
	if r.ProtoMajor == 1 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limits.BodyTimeout))
	}
}
