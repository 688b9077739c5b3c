package observe

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"
)

// Records writes the access log and the audit log.
type Records struct {
	// Access receives one line for each request.
	Access *Log
	// Audit receives one entry for each write, and entries for all refusals.
	Audit *Log
	// JSON writes the access log as JSON lines instead of nginx's combined format.
	JSON atomic.Bool
	// AuditRequired refuses writes while the audit log cannot be written.
	AuditRequired atomic.Bool

	entries *slog.Logger // of the audit log
	refused refusalCounts
	ids     *requestIDs
}

// Flush writes the entries of the refusals that were only counted so far.
func (rs *Records) Flush() {
	if rs.Audit.On() {
		rs.refused.flush(rs)
	}
}

// RecordOptions describes the logs of records. A log without a writer is off.
type RecordOptions struct {
	Access, Audit io.Writer
	JSON          bool
	AuditRequired bool
	// Service receives reports about records that are lost. The default drops them.
	Service *slog.Logger
}

// NewRecords returns the logs of records.
func NewRecords(o RecordOptions) *Records {
	if o.Service == nil {
		o.Service = slog.New(slog.DiscardHandler)
	}
	rs := &Records{ids: newRequestIDs(), Access: newLog("access", false, o.Access, o.Service), Audit: newLog("audit", true, o.Audit, o.Service)}
	rs.JSON.Store(o.JSON)
	rs.AuditRequired.Store(o.AuditRequired)
	rs.entries = slog.New(slog.NewJSONHandler(rs.Audit, nil))
	return rs
}

// Audited reports whether a write that is carried out now can be recorded, or need not be.
func (rs *Records) Audited() bool {
	return !rs.AuditRequired.Load() || !rs.Audit.Failing() && !rs.Audit.Stuck()
}

// Timed reports whether the access log contains the time that requests wait for etcd.
func (rs *Records) Timed() bool { return rs.JSON.Load() && rs.Access.On() }

// write adds a record to both logs. duration is the time from its start to its end. A log that
// cannot be written counts and reports that itself.
func (rs *Records) write(r *Record, duration time.Duration) {
	if rs.Audit.On() {
		rs.audit(r)
	}
	if !rs.Access.On() {
		return
	}
	var line []byte
	if rs.JSON.Load() {
		line = rs.json(r, duration)
	} else {
		line = r.combined(duration)
	}
	_, _ = rs.Access.Write(line)
}

// Note adds an entry about the service itself to the audit log. It waits for a moment until the
// entry is written, which is for whoever changes the service, and never for a client.
func (rs *Records) Note(msg string, attrs ...slog.Attr) {
	if rs.Audit.On() {
		rs.entries.LogAttrs(context.Background(), slog.LevelInfo, msg, attrs...)
		rs.Audit.Flush()
	}
}

// combined formats the record in nginx's combined format. As in nginx, the time is that of the
// end, so that the lines are in order. The referer is left out: it can carry a query of its
// own.
func (r *Record) combined(duration time.Duration) []byte {
	b := make([]byte, 0, 256)
	b = append(b, r.Peer.Addr.Addr().String()...)
	b = append(b, " - "...)
	b = appendQuoted(b, r.user())
	b = r.Started.Add(duration).AppendFormat(b, " [02/Jan/2006:15:04:05 -0700] \"")
	b = append(b, methodLabels[methodLabel(r.Op.Method)]...)
	b = append(b, ' ')
	b = append(b, r.redactedTarget()...)
	b = append(b, ' ')
	b = append(b, r.Proto...)
	b = append(b, "\" "...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, r.Bytes, 10)
	b = append(b, " \"-\" \""...)
	if r.UserAgent == "" {
		b = append(b, '-')
	}
	b = appendQuoted(b, r.UserAgent)
	return append(b, "\"\n"...)
}

// appendQuoted appends a text that the client chose. It writes bytes that could end the
// field or the line as \xHH, like nginx.
func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// json formats a record as a line of JSON.
func (rs *Records) json(r *Record, duration time.Duration) []byte {
	line, err := json.Marshal(struct {
		Time      time.Time `json:"time"`
		From      string    `json:"from"`
		User      string    `json:"user"`
		Known     string    `json:"known"`
		Outcome   string    `json:"login"`
		Claimed   string    `json:"claimed"`
		Method    string    `json:"method"`
		Target    string    `json:"target"`
		Proto     string    `json:"proto"`
		Status    int       `json:"status"`
		Bytes     int64     `json:"bytes"`
		Seconds   float64   `json:"seconds"`
		Login     float64   `json:"login_seconds"`
		Upstream  float64   `json:"upstream_seconds"`
		Turn      float64   `json:"turn_seconds"`
		Shared    bool      `json:"shared"`
		Watch     bool      `json:"watch"`
		Verdict   string    `json:"verdict"`
		Rule      string    `json:"rule"`
		ID        string    `json:"id"`
		UserAgent string    `json:"user_agent"`
	}{r.Started, r.Peer.Addr.String(), r.user(), r.Op.Identity.Known.String(), r.Op.Login.String(), r.Op.Claimed, methodLabels[methodLabel(r.Op.Method)],
		r.redactedTarget(), r.Proto, r.Status, r.Bytes, duration.Seconds(),
		r.Login.Seconds(), r.Upstream.Seconds(), r.Turn.Seconds(), r.Shared, r.Op.Watch, r.verdict(), string(r.Op.Rule), string(rs.AppendRequestID(nil, r)), r.UserAgent})
	if err != nil {
		panic("BUG: a record cannot be encoded: " + err.Error())
	}
	return append(line, '\n')
}
