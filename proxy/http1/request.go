package http1

import (
	"bytes"
	"strings"
)

// Request is the head of a request. It can be reused for the next request. Its strings
// are views; see the package comment.
type Request struct {
	Method string
	// Target is spelled as the client did: any bytes except blanks and controls.
	Target string
	// Minor is 0 for HTTP/1.0 and 1 for HTTP/1.1.
	Minor  int
	Fields []Field

	// Body is None, Length or Chunked; Length is the number of its bytes.
	Body   Framing
	Length int64
	// Close is set if the connection is to be closed after the answer.
	Close bool
	// Expect is set if the client waits for a 100 Continue before it sends the body.
	Expect bool
	// Upgrade is set if the client asks for another protocol.
	Upgrade bool

	// The fields that a proxy uses; "" if absent. If Accept, AcceptEncoding or UserAgent
	// is repeated, the first counts.
	Host, Authorization, ContentType, Accept, AcceptEncoding, UserAgent string

	scanned int
}

// Errors of requests.
var (
	errRequestLine    = &Error{400, "the request line is malformed"}
	errVersion        = &Error{505, "the HTTP version is not supported"}
	errHost           = &Error{400, "the Host is malformed"}
	errTwoHosts       = &Error{400, "there is more than one Host"}
	errNoHost         = &Error{400, "there is no Host"}
	errAuthorizations = &Error{400, "there is more than one Authorization"}
	errContentTypes   = &Error{400, "there is more than one Content-Type"}
	errExpect         = &Error{417, "the only supported expectation is 100-continue"}
	errTrailer        = &Error{400, "trailers are not supported"}
	errUnderscore     = &Error{400, "a header name with an underscore looks like one that matters"}
)

// Parse reads the head at the start of buf and returns its length, or 0 if more
// bytes are needed; it must then be called with the same bytes and more. The
// error is an [*Error].
func (r *Request) Parse(buf []byte, limits Limits) (n int, err error) {
	end, refused := headEnd(buf, &r.scanned, &limits)
	if refused == nil && end > 0 {
		refused = r.parse(buf[:end], &limits)
	}
	if refused != nil {
		r.scanned = 0
		return 0, refused
	}
	return end, nil
}

func (r *Request) parse(head []byte, limits *Limits) *Error {
	*r = Request{Fields: r.Fields[:0]}
	line, rest := cutLine(head)
	if err := r.parseLine(line); err != nil {
		return err
	}
	var f framing
	seenHost, seenAuthorization, seenType := false, false, false
	for {
		line, rest = cutLine(rest)
		if len(line) == 0 {
			break
		}
		if len(r.Fields) == limits.fields() {
			return errFieldCount
		}
		field, err := parseField(line)
		if err != nil {
			return err
		}
		r.Fields = append(r.Fields, field)
		if err := f.add(&field); err != nil {
			return err
		}
		name := field.Name
		switch len(name) {
		case len("Host"):
			if equalFold(name, "host") {
				if seenHost {
					return errTwoHosts
				}
				if !validHost(field.Value) {
					return errHost
				}
				seenHost, r.Host = true, field.Value
			}
		case len("Accept"): // and Expect
			if equalFold(name, "accept") {
				setFirst(&r.Accept, field.Value)
			} else if equalFold(name, "expect") {
				if !equalFold(field.Value, "100-continue") {
					return errExpect
				}
				r.Expect = r.Minor == 1
			}
		case len("Upgrade"): // and Trailer
			if equalFold(name, "trailer") {
				return errTrailer
			}
			r.Upgrade = r.Upgrade || equalFold(name, "upgrade")
		case len("User-Agent"):
			if equalFold(name, "user-agent") {
				setFirst(&r.UserAgent, field.Value)
			}
		case len("Content-Type"):
			if equalFold(name, "content-type") {
				if seenType {
					return errContentTypes
				}
				seenType, r.ContentType = true, field.Value
			}
		case len("Authorization"):
			if equalFold(name, "authorization") {
				if seenAuthorization {
					return errAuthorizations
				}
				seenAuthorization, r.Authorization = true, field.Value
			}
		case len("Accept-Encoding"):
			if equalFold(name, "accept-encoding") {
				setFirst(&r.AcceptEncoding, field.Value)
			}
		}
		if mimics(name) {
			return errUnderscore
		}
	}
	if !seenHost && r.Minor == 1 {
		return errNoHost
	}
	return r.frame(&f)
}

// parseLine parses METHOD SP TARGET SP HTTP/1.x.
func (r *Request) parseLine(line []byte) *Error {
	first := bytes.IndexByte(line, ' ')
	last := bytes.LastIndexByte(line, ' ')
	if first <= 0 || last <= first+1 {
		return errRequestLine
	}
	for _, c := range line[:first] {
		if !tokenBytes[c] {
			return errRequestLine
		}
	}
	for _, c := range line[first+1 : last] {
		if c <= ' ' || c == 0x7f {
			return errRequestLine
		}
	}
	switch version := line[last+1:]; {
	case string(version) == "HTTP/1.1":
		r.Minor = 1
	case string(version) == "HTTP/1.0":
	case len(version) == len("HTTP/1.1") && string(version[:5]) == "HTTP/" && isDigit(version[5]) && version[6] == '.' && isDigit(version[7]):
		return errVersion
	default:
		return errRequestLine
	}
	r.Method, r.Target = view(line[:first]), view(line[first+1:last])
	return nil
}

func (r *Request) frame(f *framing) *Error {
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
