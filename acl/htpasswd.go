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
	// Name is the name of the file, for error messages.
	Name string
	Data []byte
}

// ParseError describes a line of a htpasswd file that is not accepted. It never
// repeats the text after the user name.
type ParseError struct {
	File string
	Line int
	// User is the name on the line, or "" if the name itself is not valid.
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

// ParseUsers parses htpasswd files. Each line is name:hash, or name:hash:comment as nginx
// accepts it; blank lines and lines that begin with # are ignored. The error joins one
// [*ParseError] for each bad line.
//
// A user may be in several files, because an nginx site has one file for each prefix,
// but must have the same hash in all of them: the order of files must not decide
// which password is valid.
func ParseUsers(h *Hasher, sources ...Source) (*Users, error) {
	byName := make(map[string]*user)
	var errs []error
	for _, source := range sources {
		number := 0
		for line := range bytes.SplitSeq(source.Data, []byte("\n")) {
			number++
			at := position{source.Name, number}
			if err := parseLine(h, byName, at, strings.TrimSuffix(string(line), "\r")); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return newUsers(h, byName), nil
}

// parseLine adds the user of a line to byName.
func parseLine(h *Hasher, byName map[string]*user, at position, line string) error {
	if line == "" || line[0] == '#' || strings.TrimSpace(line) == "" {
		return nil
	}
	fail := func(user, problem, hint string) error {
		return &ParseError{File: at.file, Line: at.line, User: user, Problem: problem, Hint: hint}
	}
	name, text, found := strings.Cut(line, ":")
	if !found {
		return fail("", "there is no colon", "a line has the form name:hash")
	}
	if err := CheckName(name); err != nil {
		return fail("", err.Error(), "a line has the form name:hash")
	}
	text, _, _ = strings.Cut(text, ":") // no hash contains a colon; what follows is a comment
	stored, err := parseHash(text)
	if err != nil {
		var wrong *hashError
		if !errors.As(err, &wrong) {
			panic("BUG: parseHash returned an error that is not a hashError")
		}
		return fail(name, wrong.problem, wrong.hint)
	}
	if first, twice := byName[name]; twice {
		if first.hash.text == stored.text {
			return nil
		}
		return fail(name, fmt.Sprintf("%s:%d has another password for this user", first.at.file, first.at.line), "a user has one password; remove one of the lines")
	}
	sum := h.digest("fingerprint", name, stored.text)
	byName[name] = &user{name: name, hash: stored, fingerprint: [16]byte(sum[:16]), at: at}
	return nil
}

// CheckName returns an error if a text is not a valid user name in a file or a rule.
// A name is 1 to 256 bytes of printable UTF-8 without a colon, which ends the name in
// htpasswd files and in Basic credentials. The error never repeats the text.
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
