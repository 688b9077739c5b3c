package htpasswd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/GehirnInc/crypt"
	"github.com/GehirnInc/crypt/apr1_crypt"
	"github.com/GehirnInc/crypt/sha512_crypt"
	"golang.org/x/crypto/bcrypt"
)

// Schemes lists the schemes to hash a new password, the default first.
func Schemes() []string { return []string{"bcrypt", "sha512-crypt", "apr1"} }

// DefaultCost is the default cost of bcrypt: about 50 ms for a login that is not cached.
const DefaultCost = bcrypt.DefaultCost

// maxCost is the highest cost that the proxy accepts: about a second for each login.
const maxCost = 14

// The maximum lengths of passwords in bytes. bcrypt silently truncates longer ones, and
// the proxy accepts the same length as the tools that write htpasswd files.
const (
	maxBcryptPassword = 72
	maxPassword       = 255
)

// CheckHash refuses a scheme or a cost that is not supported.
func CheckHash(scheme string, cost int) error {
	switch {
	case !slices.Contains(Schemes(), scheme):
		return fmt.Errorf("%q is not a known hash (hint: choose one of %s)", scheme, strings.Join(Schemes(), ", "))
	case scheme != "bcrypt" && cost != DefaultCost:
		return errors.New("only bcrypt has a cost (hint: leave out --cost)")
	case cost < bcrypt.MinCost || cost > maxCost:
		return fmt.Errorf("the cost is out of range (hint: use %d to %d)", bcrypt.MinCost, maxCost)
	}
	return nil
}

// CheckPassword refuses passwords that do not work with every client or hash.
func CheckPassword(scheme, password string) error {
	switch {
	case password == "":
		return errors.New("the password is empty")
	case strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("the password contains a control character (hint: HTTP Basic authentication cannot transmit it)")
	case scheme == "bcrypt" && len(password) > maxBcryptPassword:
		return fmt.Errorf("the password is longer than %d bytes (hint: bcrypt ignores the rest; use a shorter one, or --hash sha512-crypt)", maxBcryptPassword)
	case len(password) > maxPassword:
		return fmt.Errorf("the password is longer than %d bytes", maxPassword)
	}
	return nil
}

// Hash hashes a password with a new salt.
func Hash(scheme string, cost int, password string) (string, error) {
	if err := errors.Join(CheckHash(scheme, cost), CheckPassword(scheme, password)); err != nil {
		return "", err
	}
	var with crypt.Crypter
	switch scheme {
	case "bcrypt":
		hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
		if err != nil {
			return "", fmt.Errorf("hashing a password: %w", err)
		}
		// The prefix $2y means the same hash and is also known to Apache's tools.
		return "$2y" + strings.TrimPrefix(string(hash), "$2a"), nil
	case "sha512-crypt":
		with = sha512_crypt.New()
	default:
		with = apr1_crypt.New()
	}
	hash, err := with.Generate([]byte(password), nil)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return hash, nil
}
