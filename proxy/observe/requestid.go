package observe

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"sync/atomic"
)

// requestIDs makes the ids of requests whose clients sent none. An id is only made where
// it is written: in a log, or in an answer of the proxy's own. An answer of etcd gets the id
// that the client sent, and no other: nobody asks about it, and 30 bytes on each answer
// would be a tenth of a small one.
type requestIDs struct {
	prefix string // of this process
	last   atomic.Uint64
}

func newRequestIDs() *requestIDs {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails, as documented
	return &requestIDs{prefix: hex.EncodeToString(random[:]) + "-"}
}

// append appends the id of a request to b.
func (ids *requestIDs) append(b []byte, r *Record) []byte {
	if r.RequestID != "" {
		return append(b, r.RequestID...)
	}
	if r.madeID == 0 {
		r.madeID = ids.last.Add(1)
	}
	return strconv.AppendUint(append(b, ids.prefix...), r.madeID, 36)
}

// RequestIDField is the name of the field with the id of a request.
const RequestIDField = "X-Request-Id"

// AppendRequestID appends the id of a request to b: the client's own or, if it sent none,
// one that is made and stays with the record.
func (rs *Records) AppendRequestID(b []byte, r *Record) []byte { return rs.ids.append(b, r) }

// maxRequestID has room for a UUID and for what tracing systems send.
const maxRequestID = 64

// ClientRequestID returns the id that a client sent if it is safe to log and to send back,
// or "".
func ClientRequestID(id string) string {
	if len(id) > maxRequestID {
		return ""
	}
	for i := range len(id) {
		if c := id[i]; !isAlphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return ""
		}
	}
	return id
}
