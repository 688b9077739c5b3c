package upstream

import "time"

// Answered records that etcd has answered, unless that was recorded before. Close calls it.
// An answer that is sent at the pace of a client is recorded before its first byte is sent,
// because the rest of its duration is the client's.
//
// No clock is read for this on the path of a usual request: the request begins with the
// deadline of its head, and ends when its connection becomes idle.
func (r *Response) Answered() {
	if !r.recorded {
		r.answeredAt(time.Now())
	}
}

func (r *Response) answeredAt(now time.Time) {
	if !r.recorded {
		r.recorded = true
		r.conn.at.pool.count.ObserveAnswer(!safe(r.method), now.Sub(r.conn.began))
	}
}
