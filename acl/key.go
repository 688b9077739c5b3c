package acl

import (
	"fmt"
	"regexp"
	"strings"
)

// Key is a canonical, decoded etcd v2 key: "/" or "/a/b", as [ParsePath] leaves
// it behind the API's own prefix.
type Key string

// Root is the key of the whole store.
const Root Key = "/"

// NewKey checks a key written by a person, as a rule's prefix is. Unlike a
// request's path it is not decoded and nothing is folded: a rule that is not
// spelled canonically is more likely a mistake than a wish. The error is a
// [*PathError].
func NewKey(s string) (Key, error) {
	if s == string(Root) {
		return Root, nil
	}
	if !strings.HasPrefix(s, "/") {
		return "", errRelative
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			return "", errControl
		case c == '\\':
			return "", errBackslash
		}
	}
	for segment := range strings.SplitSeq(s[1:], "/") {
		switch segment {
		case "":
			return "", errEmptySegment
		case ".", "..":
			return "", errDots
		}
	}
	if strings.ToValidUTF8(s, "") != s {
		return "", errUTF8
	}
	return Key(s), nil
}

var errEmptySegment = &PathError{"it ends with a slash or contains an empty segment"}

// Escaped is the key as it stands in a URL's path.
func (k Key) Escaped() string { return escape(string(k)) }

// Covers reports whether k is other or one of its ancestors, by whole segments.
func (k Key) Covers(other Key) bool {
	return k == Root || k == other ||
		strings.HasPrefix(string(other), string(k)) && other[len(k)] == '/'
}

// Reserved reports whether no one may write to the key.
//
// etcd 3.4 and 3.5 take a plain set of any key that contains its own member
// attributes path for an update of its membership, wherever in the tree the key
// is: members panic while applying it, and again at every restart, because the
// entry is in the log. There is no way back but a backup. So the test is at
// least as wide as etcd's: not anchored, and for every write, whoever asks.
func (k Key) Reserved() bool {
	// The cheap test first; the expression costs more than the rest of a decision.
	return strings.Contains(string(k), "/0/members/") && memberAttributes.MatchString(string(k))
}

var memberAttributes = regexp.MustCompile(`/0/members/[[:xdigit:]]{1,16}/attributes`)

// String quotes the key when it holds anything that could confuse a terminal or
// a log, and is the plain key otherwise.
func (k Key) String() string {
	for _, r := range string(k) {
		if r <= ' ' || r >= 0x7f || r == '"' {
			return fmt.Sprintf("%+q", string(k))
		}
	}
	return string(k)
}
