package proxytest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/GehirnInc/crypt/apr1_crypt"
)

// Htpasswd returns a password file with these users, hashed with apr1 and one salt for
// all users like those that Puppet writes.
func Htpasswd(passwords map[string]string) ([]byte, error) {
	var b bytes.Buffer
	for _, user := range slices.Sorted(maps.Keys(passwords)) {
		hash, err := apr1_crypt.New().Generate([]byte(passwords[user]), []byte("$apr1$saltsalt$"))
		if err != nil {
			return nil, fmt.Errorf("hashing a password: %w", err)
		}
		fmt.Fprintf(&b, "%s:%s\n", user, hash)
	}
	return b.Bytes(), nil
}
