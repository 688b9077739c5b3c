package gate

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"etcd-tlsproxy/acl"
)

// readTarget makes the client's target canonical.
func readTarget(p *Policy, req *Request, op *Operation) *Refusal {
	if len(req.Target) > p.MaxTarget {
		return RefuseTooLong
	}
	if req.Target == "*" && op.Method == MethodOptions {
		op.Target, op.Path, op.Surface = "*", "*", Info
		return nil
	}
	origin, ok := originForm(req.Target)
	if !ok {
		return RefuseTarget
	}
	path, query, hasQuery := strings.Cut(origin, "?")
	canonical, err := acl.ParsePath(path)
	if err != nil {
		var invalid *acl.PathError
		if !errors.As(err, &invalid) {
			panic("BUG: a path is refused without a reason: " + err.Error())
		}
		return refusePathFor(invalid.Reason)
	}
	if !goodQuery(query) {
		return RefuseQuery
	}
	op.Surface = surfaceOf(canonical.Decoded)
	op.Path = canonical.Escaped
	if op.Surface == Keys {
		op.Key = acl.Key(canonical.Decoded[len(KeysPrefix):])
		if op.Key == "" {
			// nginx answered /v2/keys with a redirect to a host that the client chose.
			op.Key = acl.Root
		}
	}
	switch {
	case canonical.Escaped == path:
		op.Target = origin
	case hasQuery:
		op.Target = canonical.Escaped + "?" + query
	default:
		op.Target = canonical.Escaped
	}
	// Encoding can make the target longer than the client's spelling.
	if len(op.Target) > p.MaxTarget {
		return RefuseTooLong
	}
	op.Watch = op.Surface == Keys && op.Method == MethodGet && Waits(query)
	return nil
}

// originForm returns the path and query of a request target. The absolute form is
// accepted, as RFC 9112 requires of every server. Its scheme and host are
// ignored: they have no part in the decision and are not forwarded.
func originForm(target string) (origin string, ok bool) {
	if strings.HasPrefix(target, "/") {
		return target, true
	}
	scheme, rest, found := strings.Cut(target, "://")
	if !found || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return "", false
	}
	host, _, found := strings.Cut(rest, "/")
	// No client of etcd sends user information, or a query without a path.
	if !found || host == "" || strings.ContainsAny(host, "@?#") {
		return "", false
	}
	return rest[len(host):], true
}

// goodQuery reports whether a query can be forwarded byte for byte. It must not contain
// a byte that ends a request line, or one that some readers take for the start of a
// fragment.
func goodQuery(query string) bool {
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// Waits reports whether etcd would take the query for a watch. It reads the
// query like etcd: names are decoded, the first value wins, and the value is one of
// strconv's booleans. The result decides on timeouts and counters, never on rights.
func Waits(query string) bool {
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
