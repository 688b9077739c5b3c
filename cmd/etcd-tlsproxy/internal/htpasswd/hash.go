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

// Schemes are the ways to hash a new password, the default first.
func Schemes() []string { return []string{"bcrypt", "sha512-crypt", "apr1"} }

// DefaultCost is bcrypt's: about 50 ms a login that is not remembered.
const DefaultCost = bcrypt.DefaultCost

// maxCost is the most the proxy accepts: a second or so for each login.
const maxCost = 14

// The longest passwords: bcrypt silently cuts them, and the proxy takes no longer ones
// than the tools that write htpasswd files do.
const (
	maxBcryptPassword = 72
	maxPassword       = 255
)

// CheckHash refuses a scheme or a cost that is not there.
func CheckHash(scheme string, cost int) error {
	switch {
	case !slices.Contains(Schemes(), scheme):
		return fmt.Errorf("there is no way %q to hash a password (hint: choose one of %s)", scheme, strings.Join(Schemes(), ", "))
	case scheme != "bcrypt" && cost != DefaultCost:
		return errors.New("a cost is only bcrypt's")
	case cost < bcrypt.MinCost || cost > maxCost:
		return fmt.Errorf("the cost is out of range (hint: between %d and %d are accepted)", bcrypt.MinCost, maxCost)
	}
	return nil
}

// CheckPassword refuses passwords that would not work everywhere.
func CheckPassword(scheme, password string) error {
	switch {
	case password == "":
		return errors.New("the password is empty")
	case strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("the password contains a control character (hint: HTTP's Basic credentials cannot carry it)")
	case scheme == "bcrypt" && len(password) > maxBcryptPassword:
		return fmt.Errorf("the password is longer than %d bytes (hint: bcrypt looks at no more; take a shorter one, or --hash sha512-crypt)", maxBcryptPassword)
	case len(password) > maxPassword:
		return fmt.Errorf("the password is longer than %d bytes", maxPassword)
	}
	return nil
}

// Hash hashes a password with a salt of its own.
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
		// The same hash by the name that Apache's tools know, too.
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
