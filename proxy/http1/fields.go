package http1

import "strings"

// seenFields is what has to be remembered of the fields of a request until its head ends.
type seenFields struct {
	framing                          framing
	host, authorization, contentType bool
	expect                           bool
}

// add adds one field. It is the grammar of fields for all versions of HTTP.
func (r *Request) add(field Field, seen *seenFields, limits *Limits) *Error {
	if len(r.Fields) == limits.fields() {
		return errFieldCount
	}
	r.Fields = append(r.Fields, field)
	if err := seen.framing.add(&field); err != nil {
		return err
	}
	name := field.Name
	switch len(name) {
	case len("Host"):
		if equalFold(name, "host") {
			if seen.host {
				return errTwoHosts
			}
			if !validHost(field.Value) {
				return errHost
			}
			seen.host, r.Host = true, field.Value
		}
	case len("Accept"): // and Expect
		if equalFold(name, "accept") {
			setFirst(&r.Accept, field.Value)
		} else if equalFold(name, "expect") {
			seen.expect = true
			r.Expect = r.Expect || hasMember(field.Value, "100-continue")
		}
	case len("Upgrade"):
		r.Upgrade = r.Upgrade || equalFold(name, "upgrade")
	case len("User-Agent"):
		if equalFold(name, "user-agent") {
			setFirst(&r.UserAgent, field.Value)
		}
	case len("Content-Type"): // and X-Request-Id
		if equalFold(name, "x-request-id") {
			setFirst(&r.RequestID, field.Value)
		} else if equalFold(name, "content-type") {
			if seen.contentType {
				return errContentTypes
			}
			seen.contentType, r.ContentType = true, field.Value
		}
	case len("Authorization"):
		if equalFold(name, "authorization") {
			if seen.authorization {
				return errAuthorizations
			}
			seen.authorization, r.Authorization = true, field.Value
		}
	case len("Accept-Encoding"):
		if equalFold(name, "accept-encoding") {
			setFirst(&r.AcceptEncoding, field.Value)
		}
	}
	if mimics(name) {
		return errUnderscore
	}
	return nil
}

// end ends the head: it checks what only all of its fields show.
func (r *Request) end(seen *seenFields) *Error {
	if !seen.host && r.Minor == 1 {
		return errNoHost
	}
	if seen.expect && !r.Expect {
		return errExpect
	}
	r.Expect = r.Expect && r.Minor == 1
	f := &seen.framing
	if err := f.conflict(); err != nil {
		return err
	}
	switch {
	case f.chunked && r.Minor == 0:
		return errCodingIn10
	case f.chunked:
		r.Body = Chunked
	case f.length > 0:
		r.Body, r.Length = Length, f.length
	}
	r.Close = f.ends(r.Minor)
	return nil
}

func setFirst(to *string, value string) {
	if *to == "" {
		*to = value
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// hasMember reports whether a list has a member, which is in lower case.
func hasMember(list, member string) bool {
	for m := range strings.SplitSeq(list, ",") {
		if equalFold(strings.Trim(m, " \t"), member) {
			return true
		}
	}
	return false
}

// validHost accepts names, addresses and a port. The proxy makes no decision by the
// host, but must not pass on one that another server would refuse.
func validHost(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c):
		case c == '.', c == '-', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return host != ""
}

// mimics reports whether a name with underscores would be a field that matters if they
// were hyphens. Some gateways treat them as such.
func mimics(name string) bool {
	if strings.IndexByte(name, '_') < 0 {
		return false
	}
	for _, matters := range [...]string{"content-length", "transfer-encoding", "content-type", "x-forwarded-for", "x-real-ip"} {
		if len(name) != len(matters) {
			continue
		}
		same := true
		for i := range len(name) {
			c := name[i]
			switch {
			case c == '_':
				c = '-'
			case 'A' <= c && c <= 'Z':
				c += 'a' - 'A'
			}
			same = same && c == matters[i]
		}
		if same {
			return true
		}
	}
	return false
}
