package observe

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
)

// recentRefusals holds the last refusals. Equal refusals are one entry, so that a client
// that repeats a request does not hide all other refusals.
type recentRefusals struct {
	mu   sync.Mutex
	list []refusalEntry // the latest last
}

// refusalEntry is one refusal, or several equal ones. It holds what the audit log holds
// and no more: no query, and no claimed name that the policy does not know.
type refusalEntry struct {
	subject
	client  netip.Addr
	refusal *gate.Refusal

	first, last time.Time
	times       uint64
}

// subject is who was refused what, as far as it makes refusals different and may be shown. It
// holds no text that is longer than maxShown.
type subject struct {
	user      string // verified, or ""
	known     gate.Known
	login     gate.Login
	claimed   string // a name that the policy knows
	method    string
	surface   gate.Surface
	path, key string
	rule      acl.Key
}

// subjectOf returns the subject of a record. Its strings can be views of a connection's
// memory.
func subjectOf(r *Record) subject {
	return subject{
		user: shorten(r.Op.Identity.Name), known: r.Op.Identity.Known, login: sameLogin(r.Op.Login), claimed: shorten(r.Op.Claimed), method: r.Op.Method,
		surface: r.Op.Surface, path: shorten(r.Op.Path), key: shorten(string(r.Op.Key)), rule: r.Op.Rule,
	}
}

// keep makes the subject independent of the memory of a connection.
func (s *subject) keep() { // claimed and rule are no views
	s.user, s.path, s.key = strings.Clone(s.user), strings.Clone(s.path), strings.Clone(s.key)
}

const (
	maxRefusals = 50
	maxShown    = 256 // bytes of a path, a key or a name
)

// add records an answer if it was a refusal. A refusal that equals an entry needs no
// memory: a proxy that is short of memory refuses often.
func (rr *recentRefusals) add(r *Record) {
	if r.Refusal == nil {
		return
	}
	next := refusalEntry{subject: subjectOf(r), client: r.Peer.Addr.Addr(), refusal: r.Refusal}
	now := time.Now()
	rr.mu.Lock()
	defer rr.mu.Unlock()
	if i := slices.IndexFunc(rr.list, next.equal); i >= 0 {
		again := rr.list[i]
		again.last, again.times = now, again.times+1
		copy(rr.list[i:], rr.list[i+1:])
		rr.list[len(rr.list)-1] = again
		return
	}
	if len(rr.list) == maxRefusals {
		rr.list = rr.list[:copy(rr.list, rr.list[1:])]
	}
	next.keep()
	next.first, next.last, next.times = now, now, 1
	rr.list = append(rr.list, next)
}

func (e refusalEntry) equal(other refusalEntry) bool {
	return e.client == other.client && e.subject == other.subject && e.refusal.Reason == other.refusal.Reason && e.refusal.Cause == other.refusal.Cause
}

// status returns the refusals, the latest first.
func (rr *recentRefusals) status() []RefusalStatus {
	rr.mu.Lock()
	entries := slices.Clone(rr.list)
	rr.mu.Unlock()
	list := []RefusalStatus{}
	for _, e := range slices.Backward(entries) {
		client := "unix socket"
		if e.client.IsValid() {
			client = e.client.String()
		}
		surface := ""
		if e.path != "" { // without a path the surface is unknown
			surface = e.surface.String()
		}
		list = append(list, RefusalStatus{
			Time: e.last.UTC(), First: e.first.UTC(), Times: e.times, Client: client, User: printable(e.user), Known: e.known.String(),
			Login: e.login.String(), Claimed: printable(e.claimed),
			Method: methodLabels[methodLabel(e.method)], Surface: surface, Path: e.path, Key: printable(e.key), Rule: printable(string(e.rule)),
			Status: e.refusal.Status, Reason: e.refusal.Reason, Cause: e.refusal.Cause,
		})
	}
	return list
}

// sameLogin returns one login for those that are shown alike: whether a password was
// remembered does not make refusals different.
func sameLogin(l gate.Login) gate.Login {
	if l == gate.LoginRemembered {
		return gate.LoginVerified
	}
	return l
}

// shorten cuts a text to maxShown bytes, between two letters.
func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	s = s[:maxShown]
	for s != "" && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

// printable makes a client's text safe to show. Runes that do not print, or that change
// the direction of the text, are written in Go's form: \u202e.
func printable(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unprintable(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// RefusalStatus is one refusal, or several equal ones: Times of them from First to Time.
// User is empty unless it was verified. Claimed is empty unless a file of users or a rule has
// the name. Path and Surface are empty unless the path could
// be read. Key is empty unless the path is that of a key. Rule is empty unless a rule
// decided.
type RefusalStatus struct {
	Time    time.Time `json:"time"`    // the last of them
	First   time.Time `json:"first"`   // the first of them
	Times   uint64    `json:"times"`   // how many
	Client  string    `json:"client"`  // address of the client
	User    string    `json:"user"`    // the verified user
	Known   string    `json:"known"`   // how the user was identified
	Login   string    `json:"login"`   // "ok", "not_needed", or why the client could not be identified
	Claimed string    `json:"claimed"` // the name that the client claimed
	Method  string    `json:"method"`  // the method
	Surface string    `json:"surface"` // the part of the API
	Path    string    `json:"path"`    // the canonical path
	Key     string    `json:"key"`     // the canonical key
	Rule    string    `json:"rule"`    // the prefix of the rule
	Status  int       `json:"status"`  // status of the answer
	Reason  string    `json:"reason"`  // the reason, as in the audit log
	Cause   string    `json:"cause"`   // the cause that was sent to the client
}
