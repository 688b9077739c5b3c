package acl

import (
	"fmt"
	"regexp"
	"strings"
)

// Key is a canonical, decoded etcd v2 key such as "/" or "/a/b": the part of a path
// from [ParsePath] that follows the API's own prefix.
type Key string

// Root is the key of the directory that contains all others.
const Root Key = "/"

// NewKey checks a key that a person wrote, such as the prefix of a rule. It neither
// decodes the text nor removes empty segments, unlike [ParsePath]: a rule that is
// not canonical is probably a mistake. The error is a [*PathError].
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

// Escaped returns the key in the form it has in the path of a URL.
func (k Key) Escaped() string { return escape(string(k)) }

// Covers reports whether k is other or an ancestor of it. It compares whole
// segments.
func (k Key) Covers(other Key) bool {
	return k == Root || k == other ||
		strings.HasPrefix(string(other), string(k)) && other[len(k)] == '/'
}

// Reserved reports whether the key is one that no one may write.
//
// etcd 3.4 and 3.5 treat a plain set of any key that contains the path of member
// attributes as an update of the membership, wherever in the tree the key is.
// Members panic when they apply the entry, and again at every restart because it
// is in the log. Only a backup helps then. The test is therefore at least as wide
// as etcd's: it is not anchored, and it applies to every write by every user.
func (k Key) Reserved() bool {
	// The expression costs more than the rest of a decision, so try the cheap test
	// first.
	return strings.Contains(string(k), "/0/members/") && memberAttributes.MatchString(string(k))
}

var memberAttributes = regexp.MustCompile(`/0/members/[[:xdigit:]]{1,16}/attributes`)

// MaxDepth is the largest number of segments of a key that a client may read or write.
//
// etcd accepts any depth, but a deep key costs it far more than its bytes: an answer about
// a tree repeats the path of each ancestor, and a store whose JSON is nested too deeply
// for its own decoder cannot be read back from a snapshot. Keys in real use have about ten
// segments.
const MaxDepth = 100

// Depth returns the number of segments of the key. The root has none.
func (k Key) Depth() int {
	if k == Root {
		return 0
	}
	return strings.Count(string(k), "/")
}

// String returns the key, quoted if it contains bytes that could confuse a terminal
// or a log.
func (k Key) String() string {
	for _, r := range string(k) {
		if r <= ' ' || r >= 0x7f || r == '"' {
			return fmt.Sprintf("%+q", string(k))
		}
	}
	return string(k)
}

// segments iterates over the segments of key. The root has none.
func segments(key Key) func(yield func(string) bool) {
	if key == Root {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(string(key[1:]), "/")
}
