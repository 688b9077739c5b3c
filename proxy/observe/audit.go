package observe

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"etcd-tlsproxy/acl"
)

// audit adds a record to the audit log. A write that happened, or may have happened, has a
// line of its own. Refusals can be as many as a client can send, so equal ones are counted.
func (rs *Records) audit(r *Record) {
	switch {
	case r.Op.IsWrite() && (r.Refusal == nil || r.Refusal.Sent()):
		rs.writeAudit(entryOf(r), r.Peer.Addr.String(), string(r.Op.Key), &counted{times: 1, first: rs.AppendRequestID(nil, r)})
	case r.Refusal != nil:
		rs.refused.add(rs, r)
	}
}

// auditEntry identifies equal refusals.
type auditEntry struct {
	subject
	client  netip.Prefix
	verdict string
	cause   string // that was sent to the client; a constant text
	status  int
}

// entryOf returns the entry of a record. A path is left out if there is a key, because it
// repeats the key.
func entryOf(r *Record) auditEntry {
	e := auditEntry{subject: subjectOf(r), client: acl.ClientOf(r.Peer.Addr.Addr()), verdict: r.verdict(), status: r.Status}
	if r.Refusal != nil {
		e.cause = r.Refusal.Cause
	}
	if e.method == "" {
		e.method = "other"
	}
	if e.key != "" {
		e.path = ""
	}
	return e
}

// writeAudit writes a line for one record, or for several equal ones.
func (rs *Records) writeAudit(e auditEntry, from, key string, c *counted) {
	if e.verdict == several {
		rs.writeSeveral(e, from, c)
		return
	}
	attrs := make([]slog.Attr, 0, 15)
	attrs = append(attrs,
		slog.String("verdict", e.verdict),
		slog.String("user", cmp.Or(e.user, "-")),
		slog.String("known", e.known.String()),
		slog.String("login", e.login.String()),
		slog.String("claimed", e.claimed),
		slog.String("from", from),
		slog.String("method", e.method),
		slog.String("surface", e.surface.String()),
	)
	if key != "" {
		attrs = append(attrs, slog.String("key", key))
	} else {
		attrs = append(attrs, slog.String("path", e.path))
	}
	attrs = append(attrs, slog.String("rule", string(e.rule)), slog.Int("status", e.status))
	if e.cause != "" {
		attrs = append(attrs, slog.String("cause", e.cause))
	}
	attrs = append(attrs, slog.String("id", string(c.first)))
	if c.times > 1 {
		attrs = append(attrs, slog.String("last_id", string(c.last)), slog.Uint64("times", c.times))
	}
	rs.entries.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}

// writeSeveral writes a line for different refusals. It has only what they have in common, and
// their numbers by verdict and by login.
func (rs *Records) writeSeveral(e auditEntry, from string, c *counted) {
	rs.entries.LogAttrs(context.Background(), slog.LevelInfo, "request",
		slog.String("verdict", e.verdict), slog.String("user", cmp.Or(e.user, "-")), slog.String("from", from),
		slog.Any("verdicts", c.verdicts), slog.Any("logins", c.logins),
		slog.String("id", string(c.first)), slog.String("last_id", string(c.last)), slog.Uint64("times", c.times))
}

// The first of equal refusals of a client is logged at once. Those that follow it within
// auditWindow are counted, and have one line at its end.
const (
	auditWindow = 10 * time.Second
	// maxClientEntries bounds the different refusals of one client that are logged one by one
	// in a window. More of them are counted together.
	maxClientEntries = 100
	// maxEntries bounds those of all clients: a thousand lines a second, of half a kilobyte.
	maxEntries = 10_000
)

// several is the verdict of a line that counts different refusals.
const several = "several"

// refusalCounts counts the refusals of the current window. The zero refusalCounts is ready
// to use.
type refusalCounts struct {
	mu      sync.Mutex
	window  *time.Timer // nil if there are no entries
	entries map[auditEntry]*repeated
	clients map[auditEntry]int // the number of entries, by client and user
}

// repeated counts the refusals that have no line yet.
type repeated struct {
	from string
	counted
}

// counted are the records of one line. Of those between the first and the last one the
// ids are not kept, because they are as many as a client can send.
type counted struct {
	times       uint64
	first, last []byte // ids
	// verdicts and logins count different refusals; nil for equal ones.
	verdicts, logins map[string]uint64
}

// add counts a record.
func (c *counted) add(rs *Records, r *Record) {
	c.last = rs.AppendRequestID(c.last[:0], r)
	if c.times == 0 {
		c.first = bytes.Clone(c.last)
	}
	c.times++
	if c.verdicts != nil {
		c.verdicts[r.verdict()]++
		c.logins[r.Op.Login.String()]++
	}
}

// add logs or counts a refusal.
func (rc *refusalCounts) add(rs *Records, r *Record) {
	e := entryOf(r)
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if again := rc.entries[e]; again != nil {
		again.add(rs, r)
		return
	}
	if rc.window == nil {
		rc.entries, rc.clients = make(map[auditEntry]*repeated), make(map[auditEntry]int)
		rc.window = time.AfterFunc(auditWindow, func() { rc.flush(rs) })
	}
	e.keep()
	client := auditEntry{client: e.client, subject: subject{user: e.user}}
	switch {
	case len(rc.entries) >= maxEntries:
		rc.several(auditEntry{verdict: several}, "-").add(rs, r)
	case rc.clients[client] >= maxClientEntries:
		rc.several(auditEntry{client: e.client, verdict: several, subject: client.subject}, e.client.String()).add(rs, r)
	default:
		rc.clients[client]++
		from := r.Peer.Addr.String()
		rc.entries[e] = &repeated{from: from}
		rs.writeAudit(e, from, e.key, &counted{times: 1, first: rs.AppendRequestID(nil, r)})
	}
}

// several returns what counts the refusals that have no line of their own; rc.mu is held.
func (rc *refusalCounts) several(e auditEntry, from string) *counted {
	if rc.entries[e] == nil {
		rc.entries[e] = &repeated{from: from, counted: counted{verdicts: make(map[string]uint64), logins: make(map[string]uint64)}}
	}
	return &rc.entries[e].counted
}

// flush ends the window.
func (rc *refusalCounts) flush(rs *Records) {
	rc.mu.Lock()
	entries := rc.entries
	if rc.window != nil {
		rc.window.Stop()
	}
	rc.window, rc.entries, rc.clients = nil, nil, nil
	rc.mu.Unlock()
	for e, again := range entries {
		if again.times > 0 {
			rs.writeAudit(e, again.from, e.key, &again.counted)
		}
	}
}
