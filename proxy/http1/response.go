package http1

import (
	"slices"
	"strings"
)

// Response is the head of a response. It can be reused for the next response. Its strings
// are views; see the package comment.
type Response struct {
	// Status is 100 to 599. An interim response is followed by another one.
	Status int
	Minor  int
	Fields []Field

	// Body is the framing of the body. Length is the number of its bytes, or -1 if the head
	// does not contain it. Length can be above 0 although Body is None: the answer to a
	// HEAD has the length that a GET would have.
	Body   Framing
	Length int64
	// Close is set if the connection is closed after the message.
	Close bool

	scanned int
}

// Errors of responses. Their status is the one that a proxy answers with.
var (
	errStatusLine = &Error{502, "the status line is malformed"}
	errSwitched   = &Error{502, "the server changed the protocol unasked"}
)

// Parse reads the head at the start of buf, the answer to a request with the
// given method, and returns its length, or 0 if more bytes are needed; it must
// then be called with the same bytes and more. The error is an [*Error].
func (r *Response) Parse(buf []byte, method string, limits Limits) (n int, err error) {
	end, refused := headEnd(buf, &r.scanned, &limits)
	if refused == nil && end > 0 {
		refused = r.parse(buf[:end], method, &limits)
	}
	if refused != nil {
		r.scanned = 0
		return 0, refused
	}
	return end, nil
}

func (r *Response) parse(head []byte, method string, limits *Limits) *Error {
	*r = Response{Fields: r.Fields[:0]}
	line, rest := cutLine(head)
	if err := r.parseLine(view(line)); err != nil {
		return err
	}
	var f framing
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
	}
	if f.nominates {
		r.dropNominated()
	}
	return r.frame(&f, method)
}

// dropNominated removes the fields that Connection names, which must not be forwarded.
// etcd names none.
func (r *Response) dropNominated() {
	nominated := ""
	for _, field := range r.Fields {
		if equalFold(field.Name, "connection") {
			nominated += "," + strings.ToLower(field.Value)
		}
	}
	options := strings.FieldsFunc(nominated, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' })
	r.Fields = slices.DeleteFunc(r.Fields, func(field Field) bool { return slices.Contains(options, strings.ToLower(field.Name)) })
}

// parseLine parses HTTP/1.x SP STATUS SP REASON.
func (r *Response) parseLine(line string) *Error {
	switch {
	case strings.HasPrefix(line, "HTTP/1.1 "):
		r.Minor = 1
	case strings.HasPrefix(line, "HTTP/1.0 "):
	default:
		return errStatusLine
	}
	line = line[len("HTTP/1.1 "):]
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' {
		return errStatusLine
	}
	for i := range 3 {
		if !isDigit(line[i]) {
			return errStatusLine
		}
		r.Status = r.Status*10 + int(line[i]-'0')
	}
	if hasControl(line[3:]) {
		return errStatusLine
	}
	switch {
	case r.Status < 100 || r.Status > 599:
		return errStatusLine
	case r.Status == 101:
		return errSwitched
	}
	return nil
}

func (r *Response) frame(f *framing, method string) *Error {
	if err := f.conflict(); err != nil {
		return err
	}
	if f.chunked && r.Minor == 0 {
		return errCodingIn10
	}
	r.Length = -1
	if f.hasLength {
		r.Length = f.length
	}
	switch {
	case method == "HEAD" || r.Status < 200 || r.Status == 204 || r.Status == 304:
		r.Body = None
	case f.chunked:
		r.Body = Chunked
	case f.hasLength:
		r.Body = Length
		if f.length == 0 {
			r.Body = None
		}
	default:
		r.Body = UntilClose
	}
	r.Close = f.ends(r.Minor) || r.Body == UntilClose
	return nil
}
