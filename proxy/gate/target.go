package gate

import (
	"errors"
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
	if refusal := checkQuery(query); refusal != nil {
		return refusal
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
	op.setReading(canonical.Decoded, query)
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

// checkQuery refuses a query that cannot be forwarded byte for byte. It must not contain a
// byte that ends a request line, or one that some readers take for the start of a fragment.
// A semicolon separates parameters for an etcd built with Go before 1.17, and is an error
// for later ones: the proxy could take a watch for a read.
func checkQuery(query string) *Refusal {
	for i := range len(query) {
		switch c := query[i]; {
		case c <= ' ' || c == 0x7f || c == '#':
			return RefuseQuery
		case c == ';':
			return RefuseSemicolon
		}
	}
	return nil
}

// setReading determines how a read is carried. path is the decoded path.
func (op *Operation) setReading(path, text string) {
	switch {
	case op.Access != acl.Read || op.Method == MethodOptions:
	case op.Surface == Keys:
		q := readQuery(text)
		op.Watch = q.wait && op.Method == MethodGet
		op.Past = op.Watch && q.past
		op.Tree = q.recursive
		// etcd takes quorum into account for GET only.
		q.quorum = q.quorum && op.Method == MethodGet
		op.Proposal = q.quorum
		if op.Shared = !q.wait && !q.malformed; op.Shared {
			op.SharedQuery = q.shared()
		}
	case path == "/health" && op.Method == MethodGet:
		// A check of etcd's health is a proposal to the cluster.
		op.Shared, op.SharedQuery, op.Proposal = true, healthQuery(text), true
	}
}
