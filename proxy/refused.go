package proxy

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
)

// refusals are the last ones. Equal ones are one entry, so that a client which asks
// the same again and again does not hide all others.
type refusals struct {
	mu   sync.Mutex
	list []refused // the latest last
}

// refused is what one or several equal requests were refused for. It holds what is
// written to the audit log, and no more: no query, no name that was only claimed.
type refused struct {
	client    netip.Addr
	user      string
	known     Known
	method    string
	surface   Surface
	path, key string
	rule      acl.Key
	refusal   *Refusal

	first, last time.Time
	times       uint64
}

const (
	mostRefusals = 50
	mostShown    = 256 // bytes of a path, a key or a name
)

// note takes note of an answer, if it was a refusal. An equal one that is known
// already costs no memory: refusals for want of it are many.
func (rs *refusals) note(r *record) {
	if r.refusal == nil {
		return
	}
	now := refused{
		client: r.peer.Addr.Addr(), user: shorten(r.op.Identity.Name), known: r.op.Identity.Known, method: r.op.Method, surface: r.op.Surface,
		path: shorten(r.op.Path), key: shorten(string(r.op.Key)), rule: r.op.Rule, refusal: r.refusal,
	}
	at := time.Now()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if i := slices.IndexFunc(rs.list, now.same); i >= 0 {
		again := rs.list[i]
		again.last, again.times = at, again.times+1
		copy(rs.list[i:], rs.list[i+1:])
		rs.list[len(rs.list)-1] = again
		return
	}
	if len(rs.list) == mostRefusals {
		rs.list = rs.list[:copy(rs.list, rs.list[1:])]
	}
	// The strings can be views of a connection's memory.
	now.user, now.path, now.key = strings.Clone(now.user), strings.Clone(now.path), strings.Clone(now.key)
	now.first, now.last, now.times = at, at, 1
	rs.list = append(rs.list, now)
}

func (r refused) same(other refused) bool {
	return r.client == other.client && r.user == other.user && r.known == other.known && r.method == other.method &&
		r.surface == other.surface && r.path == other.path && r.key == other.key && r.rule == other.rule &&
		r.refusal.Reason == other.refusal.Reason && r.refusal.Cause == other.refusal.Cause
}

// latest are the refusals, the latest first.
func (rs *refusals) latest() []refused {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	list := slices.Clone(rs.list)
	slices.Reverse(list)
	return list
}

func shorten(s string) string {
	if len(s) <= mostShown {
		return s
	}
	s = s[:mostShown]
	for s != "" && !utf8.ValidString(s) { // in the middle of a letter
		s = s[:len(s)-1]
	}
	return s
}

// printable makes a client's text one that can do nothing but be read: what does not
// print, or changes the direction of what does, is written as Go writes it, \u202e.
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
