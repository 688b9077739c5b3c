package http1

import (
	"bytes"
	"unsafe"
)

// Limits bounds the size of a head. Zero values mean the defaults.
type Limits struct {
	// Head is its size in bytes, with the empty line that ends it; 32 KiB.
	Head int
	// Fields is the number of its fields; 100.
	Fields int
}

const (
	defaultHead   = 32 << 10
	defaultFields = 100
)

func (l *Limits) head() int {
	if l.Head > 0 {
		return l.Head
	}
	return defaultHead
}

func (l *Limits) fields() int {
	if l.Fields > 0 {
		return l.Fields
	}
	return defaultFields
}

// Error says why a message is refused. Reason is a constant text that may be sent to the
// client: it never repeats received bytes.
type Error struct {
	// Status is the HTTP status that a server answers with.
	Status int
	Reason string
}

func (e *Error) Error() string { return e.Reason }

// Errors of both requests and responses.
var (
	errBareLF      = &Error{400, "a line does not end with CR LF"}
	errControl     = &Error{400, "a header value contains a control byte"}
	errFieldName   = &Error{400, "a header name is empty, malformed or followed by a blank"}
	errFolded      = &Error{400, "a header is folded over several lines"}
	errNoColon     = &Error{400, "a header line has no colon"}
	errLength      = &Error{400, "the Content-Length is not a plain number"}
	errTwoLengths  = &Error{400, "there is more than one Content-Length"}
	errBothLengths = &Error{400, "there is a Content-Length beside a Transfer-Encoding"}
	errTwoCodings  = &Error{400, "there is more than one Transfer-Encoding"}
	errCoding      = &Error{501, "the only supported transfer coding is chunked"}
	errCodingIn10  = &Error{400, "a Transfer-Encoding in HTTP/1.0"}
	errOptions     = &Error{400, "the Connection header is no list of options"}
	errHeadSize    = &Error{431, "the request head is too large"}
	errFieldCount  = &Error{431, "there are too many headers"}
)

// Field is one field of a head.
type Field struct{ Name, Value string }

// Framing says how the end of a body is found.
type Framing int

// The framings. Only responses can have UntilClose.
const (
	None Framing = iota
	Length
	Chunked
	UntilClose
)

// headEnd finds the end of a head that begins at buf[0]: the length with the
// empty line, or 0 if the head is not complete. *scanned is the start of the first
// incomplete line. It is kept between calls with more of the same bytes, so that a
// head which arrives slowly is not scanned again and again.
func headEnd(buf []byte, scanned *int, limits *Limits) (int, *Error) {
	at := *scanned
	for {
		lf := bytes.IndexByte(buf[at:], '\n')
		if lf < 0 {
			*scanned = at
			if len(buf) >= limits.head() {
				return 0, errHeadSize
			}
			return 0, nil
		}
		end := at + lf + 1
		if end > limits.head() {
			return 0, errHeadSize
		}
		if lf == 0 || buf[end-2] != '\r' {
			return 0, errBareLF
		}
		if lf == 1 {
			*scanned = 0
			return end, nil
		}
		at = end
	}
}

// cutLine cuts the first line, without its end, from the bytes of a whole head.
func cutLine(head []byte) (line, rest []byte) {
	lf := bytes.IndexByte(head, '\n')
	return head[:lf-1], head[lf+1:]
}

// parseField parses the line of a field.
func parseField(line []byte) (Field, *Error) {
	colon := -1
	for i, c := range line {
		if !tokenBytes[c] {
			colon = i
			break
		}
	}
	switch {
	case colon < 0:
		return Field{}, errNoColon
	case line[colon] != ':':
		if line[0] == ' ' || line[0] == '\t' {
			return Field{}, errFolded
		}
		return Field{}, errFieldName
	case colon == 0:
		return Field{}, errFieldName
	}
	value := view(trimBlanks(line[colon+1:]))
	if hasControl(value) {
		return Field{}, errControl
	}
	return Field{view(line[:colon]), value}, nil
}

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// view returns b as a string without copying it; see the package comment for its lifetime.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// isControl reports whether a byte must not be in the value of a field.
func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// hasControl reports whether a byte of s must not be in the value of a field. It looks at eight
// bytes at a time, because each value of a request is looked at twice.
func hasControl(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		word := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		if mayHaveControl(word) && (isControl(s[0]) || isControl(s[1]) || isControl(s[2]) || isControl(s[3]) ||
			isControl(s[4]) || isControl(s[5]) || isControl(s[6]) || isControl(s[7])) {
			return true
		}
	}
	for i := range len(s) {
		if isControl(s[i]) {
			return true
		}
	}
	return false
}

// mayHaveControl reports whether one of eight bytes is below a space, as a tab is, or is 0x7f. A
// subtraction carries into the highest bit of each byte that was smaller; the bits that were set
// before do not count.
func mayHaveControl(word uint64) bool {
	const each = 0x0101010101010101
	deleted := word ^ each*0x7f // 0 where the byte is 0x7f
	return ((word-each*' ')&^word|(deleted-each)&^deleted)&(each<<7) != 0
}

// blank overwrites the bytes of a view with spaces.
func blank(s string) {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	for i := range b {
		b[i] = ' '
	}
}

// isToken reports whether s is a token.
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// tokenBytes are those of a token (RFC 9110, 5.6.2).
var tokenBytes = func() (t [256]bool) {
	const token = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for i := range len(token) {
		t[token[i]] = true
	}
	return t
}()
