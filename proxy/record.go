package proxy

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"etcd-tlsproxy/acl"
)

// record is what is known of one answered request.
type record struct {
	op        Operation
	peer      *Peer
	refusal   *Refusal // nil if etcd answered
	status    int
	bytes     int64
	started   time.Time
	proto     string
	userAgent string
}

// user is who the client was found to be. A name that was only claimed is not
// recorded: people type passwords into the wrong field.
func (r *record) user() string {
	if r.op.Identity.Name == "" {
		return "-"
	}
	return r.op.Identity.Name
}

// shownTarget is the target without anything secret.
func (r *record) shownTarget() string {
	if r.op.Path == "" {
		return "-" // it could not be read; its bytes are the client's, and unsafe
	}
	if _, query, ok := strings.Cut(r.op.Target, "?"); ok {
		return r.op.Path + "?" + redactQuery(query)
	}
	return r.op.Path
}

// Records writes the access log and the audit log.
type Records struct {
	// Access gets one line a request; nil for none.
	Access io.Writer
	// JSON writes the access log as JSON lines instead of nginx's combined format.
	JSON bool
	// Audit gets one entry for each write and each refusal; nil for none.
	Audit *slog.Logger

	mu sync.Mutex
}

func (rs *Records) write(r *record) {
	if rs.Audit != nil && (r.refusal != nil || r.op.Access == acl.Write) {
		rs.audit(r)
	}
	if rs.Access == nil {
		return
	}
	var line []byte
	if rs.JSON {
		line = r.json()
	} else {
		line = r.combined()
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	// A log that cannot be written must not stop the service; the writer reports it.
	_, _ = rs.Access.Write(line)
}

func (rs *Records) audit(r *record) {
	verdict := "allowed"
	if r.refusal != nil {
		verdict = r.refusal.Reason
	}
	method := r.op.Method
	if method == "" {
		method = "other"
	}
	rs.Audit.LogAttrs(context.Background(), slog.LevelInfo, "request",
		slog.String("verdict", verdict),
		slog.String("user", r.user()),
		slog.String("known", r.op.Identity.Known.String()),
		slog.String("from", r.peer.Addr.String()),
		slog.String("method", method),
		slog.String("surface", r.op.Surface.String()),
		slog.String("path", r.op.Path),
		slog.String("key", string(r.op.Key)),
		slog.String("rule", string(r.op.Rule)),
		slog.Int("status", r.status),
	)
}

// combined is nginx's combined format. The referer is left out: it can carry a
// query of its own.
func (r *record) combined() []byte {
	b := make([]byte, 0, 256)
	b = append(b, r.peer.Addr.Addr().String()...)
	b = append(b, " - "...)
	b = appendQuoted(b, r.user())
	b = r.started.AppendFormat(b, " [02/Jan/2006:15:04:05 -0700] \"")
	b = append(b, methodLabels[methodLabel(r.op.Method)]...)
	b = append(b, ' ')
	b = append(b, r.shownTarget()...)
	b = append(b, ' ')
	b = append(b, r.proto...)
	b = append(b, "\" "...)
	b = strconv.AppendInt(b, int64(r.status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, r.bytes, 10)
	b = append(b, " \"-\" \""...)
	if r.userAgent == "" {
		b = append(b, '-')
	}
	b = appendQuoted(b, r.userAgent)
	return append(b, "\"\n"...)
}

// appendQuoted writes a client's text as nginx does: what could end the field
// or the line as \xHH.
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

func (r *record) json() []byte {
	line, err := json.Marshal(struct {
		Time      time.Time `json:"time"`
		From      string    `json:"from"`
		User      string    `json:"user"`
		Known     string    `json:"known"`
		Method    string    `json:"method"`
		Target    string    `json:"target"`
		Proto     string    `json:"proto"`
		Status    int       `json:"status"`
		Bytes     int64     `json:"bytes"`
		Seconds   float64   `json:"seconds"`
		Watch     bool      `json:"watch"`
		UserAgent string    `json:"user_agent"`
	}{r.started, r.peer.Addr.String(), r.user(), r.op.Identity.Known.String(), methodLabels[methodLabel(r.op.Method)],
		r.shownTarget(), r.proto, r.status, r.bytes, time.Since(r.started).Seconds(), r.op.Watch, r.userAgent})
	if err != nil {
		panic("BUG: a record cannot be encoded: " + err.Error())
	}
	return append(line, '\n')
}
