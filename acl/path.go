package acl

import (
	"strings"
	"unicode/utf8"
)

// Path is a request path in canonical form.
type Path struct {
	// Decoded is the path after one percent-decoding. etcd derives its key from
	// it. It begins with a slash, and ends with one only if it is "/".
	Decoded string
	// Escaped is Decoded, encoded segment by segment. This form is sent to etcd.
	Escaped string
}

// PathError says why a path is refused. Reason is a constant that may be shown to a
// client: it never repeats what the client sent.
type PathError struct{ Reason string }

func (e *PathError) Error() string { return "path refused: " + e.Reason }

// The errors of [ParsePath]. Each is for a spelling that nginx, routers and etcd
// releases were observed to read as different keys, or that makes different keys
// look alike in a listing.
var (
	errRelative  = &PathError{"it does not begin with a slash"}
	errEscape    = &PathError{"a percent sign is not followed by two hexadecimal digits"}
	errControl   = &PathError{"it contains a space or control byte that is not allowed in a key"}
	errSlash     = &PathError{"it contains an encoded slash"}
	errBackslash = &PathError{"it contains a backslash"}
	errDots      = &PathError{"it contains a . or .. segment"}
	errFragment  = &PathError{"it contains a # that is not encoded"}
	errUTF8      = &PathError{"it is not valid UTF-8"}
)

// ParsePath converts the path of a request target to canonical form. The path is
// the client's own spelling, without the query. A path that is already canonical is
// returned unchanged, without allocating. The error is a [*PathError].
//
// ParsePath fails closed. How etcd reads a path depends on the Go release that
// built it: with recent ones an encoded dot segment or slash leaves the key space.
// Every spelling that any of them could resolve is refused.
func ParsePath(raw string) (Path, error) {
	if isCanonical(raw) {
		return Path{Decoded: raw, Escaped: raw}, nil
	}
	if raw == "" || raw[0] != '/' {
		return Path{}, errRelative
	}
	decoded, err := decodeOnce(raw)
	if err != nil {
		return Path{}, err
	}
	if !utf8.ValidString(decoded) {
		return Path{}, errUTF8
	}
	folded, err := foldSegments(decoded)
	if err != nil {
		return Path{}, err
	}
	return Path{Decoded: folded, Escaped: escape(folded)}, nil
}

// isCanonical reports whether raw is its own canonical form. This is the common
// case and must stay cheap.
func isCanonical(raw string) bool {
	if raw == "" || raw[0] != '/' {
		return false
	}
	start := 1 // of the current segment
	for i := 1; i < len(raw); i++ {
		c := raw[i]
		if c == '/' {
			if !plainSegment(raw[start:i]) {
				return false
			}
			start = i + 1
		} else if !literal[c] {
			return false
		}
	}
	return len(raw) == 1 || plainSegment(raw[start:])
}

// plainSegment reports whether a segment is neither empty nor a dot segment.
func plainSegment(s string) bool { return s != "" && s != "." && s != ".." }

// decodeOnce removes one layer of percent-encoding. It refuses bytes that a key must not
// contain, raw or encoded. It also refuses encoded slashes, which cannot be distinguished
// from raw ones later.
func decodeOnce(raw string) (string, error) {
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '%':
			if i+2 >= len(raw) {
				return "", errEscape
			}
			hi, lo := unhex(raw[i+1]), unhex(raw[i+2])
			if hi < 0 || lo < 0 {
				return "", errEscape
			}
			c = byte(hi<<4 | lo)
			i += 2
			if c == '/' {
				return "", errSlash
			}
			// An encoded space or # is an ordinary byte of a key.
			if c < ' ' || c == 0x7f {
				return "", errControl
			}
		case c <= ' ' || c == 0x7f:
			return "", errControl
		case c == '#':
			return "", errFragment
		}
		if c == '\\' {
			return "", errBackslash
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// foldSegments removes empty segments, and refuses dot segments in any spelling.
func foldSegments(decoded string) (string, error) {
	var b strings.Builder
	b.Grow(len(decoded))
	for segment := range strings.SplitSeq(decoded, "/") {
		switch segment {
		case "":
		case ".", "..":
			return "", errDots
		default:
			b.WriteByte('/')
			b.WriteString(segment)
		}
	}
	if b.Len() == 0 {
		return "/", nil
	}
	return b.String(), nil
}

// escape encodes every byte of a decoded path except slashes and literal bytes.
func escape(decoded string) string {
	const upperhex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(decoded) + 8)
	for i := range len(decoded) {
		c := decoded[i]
		if c == '/' || literal[c] {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperhex[c>>4])
		b.WriteByte(upperhex[c&15])
	}
	return b.String()
}

// literal marks the bytes that are not encoded in a canonical segment: pchar of
// RFC 3986 without the percent sign.
var literal = func() (t [256]bool) {
	const pchar = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" +
		"-._~" + "!$&'()*+,;=" + ":@"
	for i := range len(pchar) {
		t[pchar[i]] = true
	}
	return t
}()

// unhex returns the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
