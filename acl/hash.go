package acl

import (
	"crypto/fips140"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"
)

// storedHash is a hashed password from a htpasswd file.
type storedHash struct {
	text     string
	scheme   string
	matcher  htpasswd.EncodedPasswd
	maxBytes int // longer passwords do not match
}

// maxPasswordBytes limits the length of a password that is hashed: the cost of
// sha-crypt grows with the square of the length. The tools that write htpasswd files
// accept at most 255 bytes.
const maxPasswordBytes = 255

// maxBcryptBytes is how much of a password bcrypt uses. Without this limit every
// password that begins with the right 72 bytes would match.
const maxBcryptBytes = 72

// These limits bound the cost of a stored hash, which every first login pays, to
// about one second. A file with costlier hashes would starve the processor.
const (
	maxBcryptCost = 14
	maxRounds     = 1_000_000
	minRounds     = 1000 // crypt(3) silently raises fewer rounds; they are a mistake
)

// scheme is an accepted way of hashing. Its pattern is exact because the library's
// parser is lenient: a hash that it misreads would lock the user out, and no one
// would notice before the first login.
type scheme struct {
	name     string
	prefix   string // the beginning of every hash of this scheme
	fips     bool   // FIPS 140 approves the algorithms
	pattern  *regexp.Regexp
	parse    htpasswd.PasswdParser
	maxBytes int
}

var schemes = []scheme{
	{"apr1", `$apr1$`, false, regexp.MustCompile(`^\$apr1\$[^$:\s]{1,8}\$[./0-9A-Za-z]{22}$`), htpasswd.AcceptMd5, maxPasswordBytes},
	{"bcrypt", `$2`, false, regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./0-9A-Za-z]{53}$`), htpasswd.AcceptBcrypt, maxBcryptBytes},
	{"SHA", `{SHA}`, false, regexp.MustCompile(`^\{SHA\}[+/0-9A-Za-z]{27}=$`), htpasswd.AcceptSha, maxPasswordBytes},
	{"SSHA", `{SSHA}`, false, regexp.MustCompile(`^\{SSHA\}[+/0-9A-Za-z]{28,200}={0,2}$`), htpasswd.AcceptSsha, maxPasswordBytes},
	{"sha256-crypt", `$5$`, true, regexp.MustCompile(`^\$5\$(?:rounds=([1-9][0-9]{0,8})\$)?[^$:\s]{1,16}\$[./0-9A-Za-z]{43}$`), htpasswd.AcceptCryptSha, maxPasswordBytes},
	{"sha512-crypt", `$6$`, true, regexp.MustCompile(`^\$6\$(?:rounds=([1-9][0-9]{0,8})\$)?[^$:\s]{1,16}\$[./0-9A-Za-z]{86}$`), htpasswd.AcceptCryptSha, maxPasswordBytes},
}

const acceptedSchemes = "apr1, bcrypt, SHA, SSHA, sha256-crypt and sha512-crypt are accepted"

// hashError says what is wrong with a stored hash. It never repeats the hash.
type hashError struct{ problem, hint string }

func (e *hashError) Error() string { return e.problem }

// parseHash parses and fully checks a stored hash, so that a login cannot fail
// because of a bad hash.
func parseHash(text string) (storedHash, error) {
	for _, s := range schemes {
		if len(text) < len(s.prefix) || text[:len(s.prefix)] != s.prefix {
			continue
		}
		if !s.fips && fips140.Enforced() {
			// MD5 and SHA-1 would panic at the first login, and bcrypt is not approved.
			return storedHash{}, &hashError{"FIPS 140 does not allow hashes of the scheme " + s.name, "use sha256-crypt or sha512-crypt: mkpasswd -m sha-512"}
		}
		match := s.pattern.FindStringSubmatch(text)
		if match == nil {
			return storedHash{}, malformed(s)
		}
		if err := checkCost(text, match); err != nil {
			return storedHash{}, err
		}
		matcher, err := s.parse(text)
		if err != nil || matcher == nil {
			// The library's error repeats the hash.
			return storedHash{}, malformed(s)
		}
		return storedHash{text: text, scheme: s.name, matcher: matcher, maxBytes: s.maxBytes}, nil
	}
	return storedHash{}, &hashError{"the hash is not of an accepted scheme", acceptedSchemes + "; plain text, DES and $1$ are not"}
}

func malformed(s scheme) error {
	return &hashError{"the hash is not a valid " + s.name + " hash", "write the line again, for example with htpasswd -B"}
}

// checkCost checks the rounds or the bcrypt cost of a hash. The match is that of the
// scheme's pattern; its first group, if any, is the number of rounds.
func checkCost(text string, match []string) error {
	if len(match) > 1 && match[1] != "" {
		rounds, err := strconv.Atoi(match[1])
		if err != nil || rounds < minRounds || rounds > maxRounds {
			return &hashError{"the number of rounds of the hash is out of range", fmt.Sprintf("use %d to %d rounds", minRounds, maxRounds)}
		}
	}
	if text[:2] == "$2" {
		cost, err := bcrypt.Cost([]byte(text)) // it refuses a cost below bcrypt.MinCost
		if err != nil || cost > maxBcryptCost {
			return &hashError{"the bcrypt cost of the hash is out of range", fmt.Sprintf("use a cost of %d to %d; with 10 a first login takes about 50 ms", bcrypt.MinCost, maxBcryptCost)}
		}
	}
	return nil
}

// matches reports whether the password has this hash. It computes one hash whatever
// the password is: refusing one that is too long costs as much as a wrong one.
//
// No password has a NUL. bcrypt repeats the password with a NUL behind it until it has 72
// bytes, so "pw" and "pw\x00pw" have the same hash, and programs in C end a password there.
func (h *storedHash) matches(password string) (yes bool) {
	// The library compares SHA-1 digests of the two hashes in order to take constant
	// time. Security does not depend on those digests, so FIPS 140 need not forbid them.
	fips140.WithoutEnforcement(func() {
		if len(password) > h.maxBytes {
			h.matcher.MatchesPassword(password[:h.maxBytes])
			return
		}
		yes = h.matcher.MatchesPassword(password) && password != "" && strings.IndexByte(password, 0) < 0
	})
	return yes
}
