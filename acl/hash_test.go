package acl

import (
	"crypto/sha1" //nolint:gosec // the scheme {SHA} is SHA-1
	"encoding/base64"
	"strings"
	"testing"
)

// shaOf returns the {SHA} hash of a password.
func shaOf(password string) string {
	sum := sha1.Sum([]byte(password)) //nolint:gosec // the scheme {SHA} is SHA-1
	return "{SHA}" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestHashesOfTheHighestAndTheLowestCostAreAccepted(t *testing.T) {
	crypt := func(rounds string) string { return "$5$rounds=" + rounds + "$salt$" + strings.Repeat("x", 43) }
	for text, good := range map[string]bool{
		crypt("1000"): true, crypt("1000000"): true, crypt("999"): false, crypt("1000001"): false, crypt("1"): false,
		crypt("0"): false, crypt("01000"): false, crypt("1000000000"): false,
		"$2y$04$" + bcryptOf72: true, "$2y$14$" + bcryptOf72: true, "$2y$03$" + bcryptOf72: false, "$2y$15$" + bcryptOf72: false,
	} {
		if _, err := parseHash(text); (err == nil) != good {
			t.Errorf("parseHash(%.18s…): got the error %v, want it accepted: %t", text, err, good)
		}
	}
}

func TestPasswordsOfUpTo255BytesCanBeRight(t *testing.T) {
	longest := strings.Repeat("x", 255)
	users := mustParse(t, NewHasher(HasherOptions{}), "longest:"+shaOf(longest)+"\nlonger:"+shaOf(longest+"x"))
	expectVerified(t, users, "longest", longest, true)
	expectVerified(t, users, "longest", longest+"x", false)
	expectVerified(t, users, "longer", longest+"x", false)
	expectVerified(t, users, "longer", longest, false)
}

// A file can have the hash of such a password, by a mistake or by an attack.
func TestAnEmptyPasswordOrOneWithANULIsWrongEvenIfItsHashIsStored(t *testing.T) {
	for _, password := range []string{"", "\x00", "\x00x", "x\x00", "x\x00y"} {
		users := mustParse(t, NewHasher(HasherOptions{}), "user:"+shaOf(password))
		if verify(t, users, "user", password) {
			t.Errorf("Verify with the password %q, whose hash is stored: got true, want false", password)
		}
	}
}

// countedPassword is a stored hash of "right" that counts how often it is computed.
type countedPassword struct {
	computed int
	onHash   func()
}

func (c *countedPassword) MatchesPassword(password string) bool {
	c.computed++
	if c.onHash != nil {
		c.onHash()
	}
	return password == "right"
}

func TestAWrongPasswordCostsOneHashHoweverLongItIs(t *testing.T) {
	for _, password := range []string{"", "x", "x\x00", strings.Repeat("x", 72), strings.Repeat("x", 73), strings.Repeat("x", 1000)} {
		counted := &countedPassword{}
		hash := storedHash{matcher: counted, maxBytes: maxBcryptBytes}
		if hash.matches(password) || counted.computed != 1 {
			t.Errorf("matches of a wrong password of %d bytes: got %d hashes, want 1", len(password), counted.computed)
		}
	}
}
