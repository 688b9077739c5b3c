package acl

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"
)

// storedHash is a password as a htpasswd file holds it.
type storedHash struct {
	text    string
	matcher htpasswd.EncodedPasswd
	longest int // passwords above this many bytes do not match
}

// longestPassword bounds what is hashed, in bytes: sha-crypt's cost grows with
// the square of the length. The tools that write htpasswd files stop at 255.
const longestPassword = 255

// longestBcrypt is where bcrypt stops looking: without a bound, every password
// that begins with the right 72 bytes would match.
const longestBcrypt = 72

// The most a stored hash may cost, as the work it asks for on every first login:
// a second or so. A file that asks for more would starve the processor.
const (
	maxBcryptCost = 14
	maxRounds     = 1_000_000
	minRounds     = 1000 // crypt(3) raises lower ones silently; they are mistakes
)

// scheme is one way of hashing that is accepted. Its pattern is exact, because
// the library below reads leniently and a hash it misreads would lock a user out
// only at the first login.
type scheme struct {
	prefix  string // what the text of such a hash begins with
	pattern *regexp.Regexp
	parse   htpasswd.PasswdParser
	longest int
}

var schemes = []scheme{
	{`$apr1$`, regexp.MustCompile(`^\$apr1\$[^$:\s]{1,8}\$[./0-9A-Za-z]{22}$`), htpasswd.AcceptMd5, longestPassword},
	{`$2`, regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./0-9A-Za-z]{53}$`), htpasswd.AcceptBcrypt, longestBcrypt},
	{`{SHA}`, regexp.MustCompile(`^\{SHA\}[+/0-9A-Za-z]{27}=$`), htpasswd.AcceptSha, longestPassword},
	{`{SSHA}`, regexp.MustCompile(`^\{SSHA\}[+/0-9A-Za-z]{28,200}={0,2}$`), htpasswd.AcceptSsha, longestPassword},
	{`$5$`, regexp.MustCompile(`^\$5\$(?:rounds=([1-9][0-9]{3,8})\$)?[^$:\s]{1,16}\$[./0-9A-Za-z]{43}$`), htpasswd.AcceptCryptSha, longestPassword},
	{`$6$`, regexp.MustCompile(`^\$6\$(?:rounds=([1-9][0-9]{3,8})\$)?[^$:\s]{1,16}\$[./0-9A-Za-z]{86}$`), htpasswd.AcceptCryptSha, longestPassword},
}

const acceptedSchemes = "apr1, bcrypt, SHA, SSHA, sha256-crypt and sha512-crypt are accepted"

// hashError says what is wrong with a stored hash without repeating any of it.
type hashError struct{ problem, hint string }

func (e *hashError) Error() string { return e.problem }

// parseHash reads a stored hash and checks all of it, so that nothing is left to
// go wrong at a login.
func parseHash(text string) (storedHash, error) {
	for _, s := range schemes {
		if len(text) < len(s.prefix) || text[:len(s.prefix)] != s.prefix {
			continue
		}
		match := s.pattern.FindStringSubmatch(text)
		if match == nil {
			return storedHash{}, &hashError{"the hash is malformed", "write the line again, for example with htpasswd -B"}
		}
		if err := checkCost(text, match); err != nil {
			return storedHash{}, err
		}
		matcher, err := s.parse(text)
		if err != nil || matcher == nil {
			// The library's error repeats the hash.
			return storedHash{}, &hashError{"the hash is malformed", "write the line again, for example with htpasswd -B"}
		}
		return storedHash{text: text, matcher: matcher, longest: s.longest}, nil
	}
	return storedHash{}, &hashError{"the hash is of no accepted kind", acceptedSchemes + "; plain text, DES and $1$ are not"}
}

func checkCost(text string, match []string) error {
	if len(match) > 1 && match[1] != "" {
		rounds, err := strconv.Atoi(match[1])
		if err != nil || rounds < minRounds || rounds > maxRounds {
			return &hashError{"the hash asks for too few or too many rounds", fmt.Sprintf("between %d and %d are accepted", minRounds, maxRounds)}
		}
	}
	if text[:2] == "$2" {
		cost, err := bcrypt.Cost([]byte(text))
		if err != nil || cost < bcrypt.MinCost || cost > maxBcryptCost {
			return &hashError{"the hash's bcrypt cost is not accepted", fmt.Sprintf("between %d and %d are; 10 takes about 50 ms a login", bcrypt.MinCost, maxBcryptCost)}
		}
	}
	return nil
}

// matches does the work of a comparison, whatever the password: one that is too
// long costs as much as a wrong one.
func (h *storedHash) matches(password string) bool {
	if len(password) > h.longest {
		h.matcher.MatchesPassword(password[:h.longest])
		return false
	}
	return h.matcher.MatchesPassword(password) && password != ""
}
