package proxy

import (
	"net/url"
	"strconv"
	"strings"

	"etcd-tlsproxy/proxy/share"
)

// originForm is the path and query of a request target. An absolute form is
// accepted, as RFC 9112 asks of every server, and its scheme and host are
// ignored: they have no part in the decision, and are not forwarded.
func originForm(target string) (origin string, ok bool) {
	if strings.HasPrefix(target, "/") {
		return target, true
	}
	scheme, rest, found := strings.Cut(target, "://")
	if !found || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return "", false
	}
	host, _, found := strings.Cut(rest, "/")
	// A host with user information, a query without a path: nothing a client of etcd sends.
	if !found || host == "" || strings.ContainsAny(host, "@?#") {
		return "", false
	}
	return rest[len(host):], true
}

// goodQuery reports whether a query can be sent on byte for byte: it has no byte
// that ends a request line, or that some reader takes for the start of a
// fragment.
func goodQuery(query string) bool {
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// waits reports whether etcd would take the query for a watch. It reads the
// query as etcd does: names decoded, the first value wins, strconv's booleans.
// The verdict decides on timeouts and counters, never on rights.
func waits(query string) bool {
	if query == "" {
		return false
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name != "wait" {
			if !strings.ContainsAny(name, "%+") {
				continue
			}
			if decoded, err := url.QueryUnescape(name); err != nil || decoded != "wait" {
				continue
			}
		}
		if strings.ContainsAny(value, "%+") {
			value, _ = url.QueryUnescape(value)
		}
		wait, err := strconv.ParseBool(value)
		return err == nil && wait
	}
	return false
}

// parseWatch is the watch that a query asks for, if it is one that others may ask
// for as well: with nothing but waitIndex and recursive, each written plainly.
// Everything else etcd gets to see as it is.
func parseWatch(query string) (w share.Watch, ok bool) {
	var seenWait, seenIndex, seenRecursive bool
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		var err error
		switch {
		case name == "wait" && !seenWait:
			seenWait = true // its value was looked at by waits
		case name == "waitIndex" && !seenIndex:
			seenIndex = true
			w.Since, err = strconv.ParseUint(value, 10, 64)
		case name == "recursive" && !seenRecursive:
			seenRecursive = true
			w.Recursive, err = strconv.ParseBool(value)
		default:
			return w, false
		}
		if err != nil {
			return w, false
		}
	}
	return w, seenWait
}

// sharedWatch is the watch of an operation, if it can be shared.
func (op *Operation) sharedWatch() (w share.Watch, ok bool) {
	_, query, _ := strings.Cut(op.Target, "?")
	w, ok = parseWatch(query)
	w.Path, w.Key = op.Path, string(op.Key)
	return w, ok
}

// shownParameters may be logged with their values: flags, times and indexes.
// Others can hold what operators keep in etcd, or a password.
var shownParameters = map[string]bool{
	"wait": true, "waitIndex": true, "stream": true, "recursive": true, "sorted": true, "quorum": true,
	"dir": true, "ttl": true, "refresh": true, "prevExist": true, "prevIndex": true, "noValueOnSuccess": true,
}

// redactQuery is the query as it may be logged: the values of unknown
// parameters are left out, and so is a name that is no plain word.
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
			b.WriteString("-") // "?secret" is a value to whoever typed it
		default:
			b.WriteString("-=-")
		}
	}
	return b.String()
}

func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(s) <= 32
}
