package http1

import "bytes"

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
	// Upgrade is set if the client asks for another protocol. Some clients do so in every
	// request. A server may ignore it.
	Upgrade bool

	// The fields that a proxy uses; "" if absent. If Accept, AcceptEncoding, UserAgent or
	// RequestID (X-Request-Id) is repeated, the first counts.
	Host, Authorization, ContentType, Accept, AcceptEncoding, UserAgent, RequestID string

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
	errUnderscore     = &Error{400, "a header name with an underscore looks like one that matters"}
	errPreface        = &Error{400, "the preface of HTTP/2 follows a request for an upgrade"}
)

// Parse reads the head at the start of buf and returns its length, or 0 if more
// bytes are needed; it must then be called with the same bytes and more. The
// error is an [*Error].
func (r *Request) Parse(buf []byte, limits Limits) (n int, err error) {
	end, refused := headEnd(buf, &r.scanned, &limits)
	if refused == nil && end > 0 {
		refused = r.parse(buf[:end], &limits)
		if refused == nil && r.Upgrade && bytes.HasPrefix(buf[end:], preface) {
			refused = errPreface // the client does not wait for the answer, and speaks HTTP/2
		}
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
	var seen seenFields
	for {
		line, rest = cutLine(rest)
		if len(line) == 0 {
			return r.end(&seen)
		}
		field, err := parseField(line)
		if err == nil {
			err = r.add(field, &seen, limits)
		}
		if err != nil {
			return err
		}
	}
}

// preface is the start of what a client of HTTP/2 sends first.
var preface = []byte("PRI * HTTP/2.0\r\n")

// parseLine parses METHOD SP TARGET SP HTTP/1.x.
func (r *Request) parseLine(line []byte) *Error {
	first := bytes.IndexByte(line, ' ')
	last := bytes.LastIndexByte(line, ' ')
	if last <= first {
		return errRequestLine
	}
	r.Method, r.Target = view(line[:first]), view(line[first+1:last])
	if !isToken(r.Method) || !isTarget(r.Target) {
		return errRequestLine
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
	return nil
}

// isTarget reports whether a target has only bytes that cannot end it.
func isTarget(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return s != ""
}
