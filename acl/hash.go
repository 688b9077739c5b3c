package acl

import (
	"crypto/fips140"
	"fmt"
	"regexp"
	"strconv"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"
)

// storedHash is a password as a htpasswd file holds it.
type storedHash struct {
	text    string
	scheme  string
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
	name    string
	prefix  string // what the text of such a hash begins with
	fips    bool   // made of what FIPS 140 approves
	pattern *regexp.Regexp
	parse   htpasswd.PasswdParser
	longest int
}

var schemes = []scheme{
	{"apr1", `$apr1$`, false, regexp.MustCompile(`^\$apr1\$[^$:\s]{1,8}\$[./0-9A-Za-z]{22}$`), htpasswd.AcceptMd5, longestPassword},
	{"bcrypt", `$2`, false, regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./0-9A-Za-z]{53}$`), htpasswd.AcceptBcrypt, longestBcrypt},
	{"SHA", `{SHA}`, false, regexp.MustCompile(`^\{SHA\}[+/0-9A-Za-z]{27}=$`), htpasswd.AcceptSha, longestPassword},
	{"SSHA", `{SSHA}`, false, regexp.MustCompile(`^\{SSHA\}[+/0-9A-Za-z]{28,200}={0,2}$`), htpasswd.AcceptSsha, longestPassword},
	{"sha256-crypt", `$5$`, true, regexp.MustCompile(`^\$5\$(?:rounds=([1-9][0-9]{3,8})\$)?[^$:\s]{1,16}\$[./0-9A-Za-z]{43}$`), htpasswd.AcceptCryptSha, longestPassword},
	{"sha512-crypt", `$6$`, true, regexp.MustCompile(`^\$6\$(?:rounds=([1-9][0-9]{3,8})\$)?[^$:\s]{1,16}\$[./0-9A-Za-z]{86}$`), htpasswd.AcceptCryptSha, longestPassword},
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
		if !s.fips && fips140.Enforced() {
			// MD5 and SHA-1 would panic at the first login, and bcrypt is not approved.
			return storedHash{}, &hashError{"the hash is of a kind that FIPS 140 does not allow", "sha256-crypt and sha512-crypt are allowed: mkpasswd -m sha-512"}
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
		return storedHash{text: text, scheme: s.name, matcher: matcher, longest: s.longest}, nil
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
func (h *storedHash) matches(password string) (yes bool) {
	// The library compares SHA-1 digests of the two hashes, to take the same time for
	// all; nothing rests on that digest, and so it is let through.
	fips140.WithoutEnforcement(func() {
		if len(password) > h.longest {
			h.matcher.MatchesPassword(password[:h.longest])
			return
		}
		yes = h.matcher.MatchesPassword(password) && password != ""
	})
	return yes
}
