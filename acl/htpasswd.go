package acl

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Source is the content of a htpasswd file.
type Source struct {
	// Name is the file's, for error messages.
	Name string
	Data []byte
}

// ParseError is a line of a htpasswd file that is not accepted. It never repeats
// what the line holds behind the user's name.
type ParseError struct {
	File string
	Line int
	// User is the name on the line, "" if that is what is wrong.
	User    string
	Problem string
	Hint    string
}

func (e *ParseError) Error() string {
	text := fmt.Sprintf("%s:%d: ", e.File, e.Line)
	if e.User != "" {
		text += fmt.Sprintf("user %q: ", e.User)
	}
	text += e.Problem
	if e.Hint != "" {
		text += " (hint: " + e.Hint + ")"
	}
	return text
}

// ParseUsers reads htpasswd files: lines of name:hash; blank lines and lines that
// begin with # are left out. Everything that is wrong is reported, as joined
// [*ParseError]s. A user may stand in several files, as in a site with one file
// for each prefix, but only with the same hash: which of two passwords counts
// must not depend on an order.
func ParseUsers(h *Hasher, sources ...Source) (*Users, error) {
	byName := make(map[string]*user)
	var errs []error
	for _, source := range sources {
		number := 0
		for line := range bytes.SplitSeq(source.Data, []byte("\n")) {
			number++
			at := place{source.Name, number}
			if err := parseLine(h, byName, at, strings.TrimSuffix(string(line), "\r")); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return newUsers(h, byName)
}

func parseLine(h *Hasher, byName map[string]*user, at place, line string) error {
	if line == "" || line[0] == '#' || strings.TrimSpace(line) == "" {
		return nil
	}
	fail := func(user, problem, hint string) error {
		return &ParseError{File: at.file, Line: at.line, User: user, Problem: problem, Hint: hint}
	}
	name, text, found := strings.Cut(line, ":")
	if !found {
		return fail("", "there is no colon", "a line is name:hash")
	}
	if err := CheckName(name); err != nil {
		return fail("", err.Error(), "a line is name:hash")
	}
	if strings.Contains(text, ":") {
		return fail(name, "there is something behind the hash", "a line is name:hash; remove the second colon and what follows")
	}
	stored, err := parseHash(text)
	if err != nil {
		var wrong *hashError
		if !errors.As(err, &wrong) {
			panic("BUG: a hash is refused without a reason")
		}
		return fail(name, wrong.problem, wrong.hint)
	}
	if first, twice := byName[name]; twice {
		if first.hash.text == stored.text {
			return nil
		}
		return fail(name, fmt.Sprintf("another password stands at %s:%d", first.at.file, first.at.line), "a user has one password; remove one of the lines")
	}
	print := h.digest("fingerprint", name, stored.text)
	byName[name] = &user{name: name, hash: stored, print: [16]byte(print[:16]), at: at}
	return nil
}

// CheckName reports whether a text can be a user's name, in a file or in a rule:
// 1 to 256 bytes of printable UTF-8 without a colon, which ends the name in both
// htpasswd files and Basic credentials. The error never repeats the text.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the user name is empty")
	case len(name) > 256:
		return errors.New("the user name is longer than 256 bytes")
	case !utf8.ValidString(name):
		return errors.New("the user name is not valid UTF-8")
	case strings.Contains(name, ":"):
		return errors.New("the user name contains a colon")
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return errors.New("the user name contains a control character")
		}
	}
	return nil
}
