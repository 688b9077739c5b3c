package std

import (
	"net/http"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/rawio"
)

// sender sends a body to a client within the limits. Without limits a client that does not
// receive it would hold memory and, while etcd has more to send, a connection to etcd.
type sender struct {
	of      *request
	control *http.ResponseController
	pace    lane.Pace
}

func (q *request) newSender() *sender {
	limits := &q.snapshot.Limits
	if q.refused {
		limits = &lane.Limits{BodyTimeout: refusalPatience}
	}
	return &sender{of: q, control: http.NewResponseController(q.w), pace: limits.NewPace()}
}

// write sends a part of the body. On HTTP/2 net/http would send the bytes that it buffers
// at the end without a deadline, so the last bytes are flushed there.
func (s *sender) write(data []byte, last bool) error {
	return s.send(data, last && s.of.r.ProtoMajor == 2)
}

// send writes data, and waits until it is sent if flush is set. Each piece has a deadline,
// which is removed afterwards: on HTTP/2 it would end the whole stream later.
func (s *sender) send(data []byte, flush bool) error {
	before := s.of.task.enter(sending)
	defer func() { s.of.task.enter(before) }()
	defer s.control.SetWriteDeadline(time.Time{})
	for first := true; first || len(data) > 0; first = false {
		_ = s.control.SetWriteDeadline(s.pace.Begin())
		if s.of.broken.Load() { // BreakOff sets the deadline behind the mark
			return lane.ErrBrokenOff
		}
		piece := data[:min(len(data), rawio.MaxCorked)]
		data = data[len(piece):]
		if len(piece) > 0 { // writing nothing is an error where no body is allowed
			if _, err := s.of.w.Write(piece); err != nil {
				return err
			}
			s.pace.End(len(piece))
			s.of.task.progressed()
		}
	}
	if flush {
		return s.control.Flush()
	}
	return nil
}

// boundRest sets a deadline for what net/http itself writes on HTTP/1: a 100 Continue, and
// the bytes that it holds until a handler ends. A client that does not read would hold its
// connection.
func boundRest(w http.ResponseWriter, r *http.Request, limits *lane.Limits) {
	if r.ProtoMajor == 1 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limits.BodyTimeout))
	}
}
