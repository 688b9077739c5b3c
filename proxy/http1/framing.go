package http1

import (
	"strings"
)

// framing gathers what the fields of a head say about the message's end.
type framing struct {
	length    int64
	hasLength bool
	chunked   bool
	close     bool // a "close" among the connection options
	keepAlive bool // a "keep-alive" among them
	nominates bool // another among them: the name of a field, most likely
}

// take looks at one field. Whatever could be read in two ways is refused.
func (f *framing) add(field *Field) *Error {
	switch len(field.Name) {
	case len("Content-Length"):
		if equalFold(field.Name, "content-length") {
			return f.takeLength(field.Value)
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
			return f.takeOptions(field.Value)
		}
	}
	return nil
}

// mostDigits keeps lengths below 2^53, which every reader can hold.
const mostDigits = 15

func (f *framing) takeLength(value string) *Error {
	if f.hasLength {
		return errTwoLengths
	}
	if value == "" || len(value) > mostDigits {
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

// takeOptions reads the connection options that concern a server. The fields a
// client names there are not forwarded anyway: only known ones are. What is no list
// of tokens is refused: net/http finds a "close" in it in its own way.
func (f *framing) takeOptions(value string) *Error {
	for option := range strings.SplitSeq(value, ",") {
		option = strings.Trim(option, " \t")
		for i := range len(option) {
			if !tokenBytes[option[i]] {
				return errOptions
			}
		}
		switch {
		case equalFold(option, "close"):
			f.close = true
		case equalFold(option, "keep-alive"):
			f.keepAlive = true
		case option != "":
			f.nominates = true
		}
	}
	return nil
}

// conflict reports what fields are only wrong together.
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

// equalFold compares ASCII text with one in lower case. Unlike strings.EqualFold
// it knows no other letters: the Kelvin sign is no k.
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
