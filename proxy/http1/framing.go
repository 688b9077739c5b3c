package http1

import (
	"strings"
)

// framing collects the fields of a head that determine where the message ends.
type framing struct {
	length    int64
	hasLength bool
	chunked   bool
	close     bool // a "close" among the connection options
	keepAlive bool // a "keep-alive" among them
	nominates bool // any other option, which usually names a field
}

// add records one field. It refuses every form that could be read in two ways.
func (f *framing) add(field *Field) *Error {
	switch len(field.Name) {
	case len("Content-Length"):
		if equalFold(field.Name, "content-length") {
			return f.addLength(field.Value)
		}
	case len("Transfer-Encoding"):
		if equalFold(field.Name, "transfer-encoding") {
			if f.chunked {
				return errTwoCodings
			}
			if !equalFold(field.Value, "chunked") {
				return errCoding
			}
			f.chunked = true
		}
	case len("Connection"):
		if equalFold(field.Name, "connection") {
			return f.addOptions(field.Value)
		}
	}
	return nil
}

// maxDigits keeps lengths below 2^53, which every reader can hold.
const maxDigits = 15

func (f *framing) addLength(value string) *Error {
	if f.hasLength {
		return errTwoLengths
	}
	if value == "" || len(value) > maxDigits {
		return errLength
	}
	for i := range len(value) {
		if value[i] < '0' || value[i] > '9' {
			return errLength
		}
		f.length = f.length*10 + int64(value[i]-'0')
	}
	f.hasLength = true
	return nil
}

// addOptions reads the connection options that concern a server. Fields that a client
// names there are not forwarded anyway, because only known fields are. A value that is
// not a list of tokens is refused, because net/http would find a "close" in it by other
// rules.
func (f *framing) addOptions(value string) *Error {
	for option := range strings.SplitSeq(value, ",") {
		option = strings.Trim(option, " \t")
		switch {
		case option == "":
		case !isToken(option):
			return errOptions
		case equalFold(option, "close"):
			f.close = true
		case equalFold(option, "keep-alive"):
			f.keepAlive = true
		default:
			f.nominates = true
		}
	}
	return nil
}

// conflict returns an error if fields contradict each other.
func (f *framing) conflict() *Error {
	if f.chunked && f.hasLength {
		return errBothLengths
	}
	return nil
}

// ends reports whether the connection ends with the message.
func (f *framing) ends(minor int) bool {
	return f.close || minor == 0 && !f.keepAlive
}

// equalFold compares ASCII text with lower-case text. Unlike strings.EqualFold it folds
// only ASCII: the Kelvin sign does not equal k.
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
