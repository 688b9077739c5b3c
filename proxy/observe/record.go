package observe

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// Record describes one answered request.
type Record struct {
	Op        gate.Operation
	Peer      *gate.Peer
	Refusal   *gate.Refusal // nil if etcd answered
	Status    int
	Bytes     int64 // of the body that was sent
	Started   time.Time
	Proto     string
	UserAgent string
	// RequestID is the id that the client sent; see [ClientRequestID].
	RequestID string
	// Login is the time of the decision: nearly all of it, if it is long, went to the hash of
	// a password. Upstream is the time that the request waited for etcd, and Turn the part of
	// it during which others had their turn. They are measured only if [Records.Timed].
	Login, Upstream, Turn time.Duration
	// Shared is set if the request to etcd answered other clients as well, or if the watch was
	// a shared one.
	Shared bool

	madeID uint64 // 0 if no id was made
}

// Keep makes the record independent of the memory that the request was read into.
func (r *Record) Keep() {
	op := &r.Op
	op.Target = strings.Clone(op.Target)
	op.Path, _, _ = strings.Cut(op.Target, "?") // the path is the first part of the target
	if key := op.Path[len(gate.KeysPrefix):]; key == string(op.Key) {
		op.Key = acl.Key(key)
	} else {
		op.Key = acl.Key(strings.Clone(string(op.Key)))
	}
	r.UserAgent, r.RequestID = strings.Clone(r.UserAgent), strings.Clone(r.RequestID)
}

// user returns the verified name of the client, or "-". A name that was only claimed is
// recorded elsewhere, and only if it is known: see [gate.Operation].
func (r *Record) user() string {
	if r.Op.Identity.Name == "" {
		return "-"
	}
	return r.Op.Identity.Name
}

// verdict returns "allowed" or the reason of the refusal.
func (r *Record) verdict() string {
	if r.Refusal != nil {
		return r.Refusal.Reason
	}
	return "allowed"
}

// redactedTarget returns the target without anything secret.
func (r *Record) redactedTarget() string {
	if r.Op.Path == "" {
		return "-" // the target could not be read; its bytes are not safe to show
	}
	if _, query, ok := strings.Cut(r.Op.Target, "?"); ok {
		return r.Op.Path + "?" + redactQuery(query)
	}
	return r.Op.Path
}

// shownParameters are logged with their values: flags, times and indexes. Any other
// parameter can hold what operators keep in etcd, or a password.
var shownParameters = map[string]bool{
	"wait": true, "waitIndex": true, "stream": true, "recursive": true, "sorted": true, "quorum": true,
	"dir": true, "ttl": true, "refresh": true, "prevExist": true, "prevIndex": true, "noValueOnSuccess": true,
}

// redactQuery returns the query in a form that is safe to log. The values of unknown
// parameters are left out, and so are names that are not plain words.
func redactQuery(query string) string {
	if query == "" {
		return ""
	}
	var b strings.Builder
	for pair := range strings.SplitSeq(query, "&") {
		name, value, hasValue := strings.Cut(pair, "=")
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		switch {
		case shownParameters[name] && isWord(value):
			b.WriteString(pair)
		case isWord(name) && hasValue:
			b.WriteString(name + "=-")
		case isWord(name):
			b.WriteString("-") // the client may mean "?secret" as a value
		default:
			b.WriteString("-=-")
		}
	}
	return b.String()
}

func isWord(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) {
			return false
		}
	}
	return len(s) <= 32
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

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
