package acl

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Users are the users of some htpasswd files. A Users value is immutable but for
// what it remembers, and safe for concurrent use.
//
// A password that was verified once is remembered, as a keyed digest of name,
// stored hash and password: the next login with it costs no hash. Failures are
// not remembered. What is remembered goes with the Users value, so new files
// begin with nothing.
type Users struct {
	hasher     *Hasher
	byName     map[string]*user
	byOrder    []*user // in the order of names
	remembered *lru.Cache[digest, struct{}]
}

type user struct {
	name  string
	hash  storedHash
	print [16]byte
	at    place
}

// place is where a user was read, for error messages.
type place struct {
	file string
	line int
}

func newUsers(h *Hasher, byName map[string]*user) (*Users, error) {
	remembered, err := lru.New[digest, struct{}](h.remember)
	if err != nil {
		return nil, fmt.Errorf("making room for remembered passwords: %w", err)
	}
	u := &Users{hasher: h, byName: byName, remembered: remembered}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		u.byOrder = append(u.byOrder, byName[name])
	}
	return u, nil
}

// Has reports whether the user exists.
func (u *Users) Has(name string) bool {
	_, ok := u.byName[name]
	return ok
}

// Names lists the users in order.
func (u *Users) Names() []string { return slices.Sorted(maps.Keys(u.byName)) }

// Len is the number of users.
func (u *Users) Len() int { return len(u.byName) }

// Fingerprint is a digest of the user's name and stored hash that tells, within
// this process, whether the stored password is still the same.
func (u *Users) Fingerprint(name string) (print [16]byte, ok bool) {
	found, ok := u.byName[name]
	if !ok {
		return print, false
	}
	return found.print, true
}

// Scheme is how the user's password is hashed: apr1, bcrypt, SHA, SSHA, sha256-crypt
// or sha512-crypt.
func (u *Users) Scheme(name string) (scheme string, ok bool) {
	found, ok := u.byName[name]
	if !ok {
		return "", false
	}
	return found.hash.scheme, true
}

// CanonicalName is the user's name as it is stored here: for callers whose own copy does
// not last.
func (u *Users) CanonicalName(name string) (stored string, ok bool) {
	found, ok := u.byName[name]
	if !ok {
		return "", false
	}
	return found.name, true
}

// Equal reports whether both hold the same users with the same stored hashes.
func (u *Users) Equal(other *Users) bool {
	return maps.EqualFunc(u.byName, other.byName, func(a, b *user) bool { return a.hash.text == b.hash.text })
}

// Remembered reports whether the password was verified before. It costs a
// microsecond and does not allocate.
func (u *Users) Remembered(name, password string) bool {
	entry, known := u.entry(name)
	if entry == nil {
		return false
	}
	_, ok := u.remembered.Get(u.hasher.digest(name, entry.hash.text, password))
	return ok && known
}

// Verify reports whether the password is the user's, at the cost of one hash
// unless it is remembered. Unknown users cost the same as known ones; a suspect client
// waits longer. The error is [ErrBusy] or that of ctx; nothing was found out then.
func (u *Users) Verify(ctx context.Context, name, password string, suspect func() bool) (bool, error) {
	entry, known := u.entry(name)
	if entry == nil {
		return false, nil
	}
	release, err := u.hasher.acquire(ctx, suspect)
	if err != nil {
		return false, err
	}
	failed := time.Duration(0)
	defer func() { release(failed) }()
	d := u.hasher.digest(name, entry.hash.text, password)
	// Many clients may bring one password at once after a reload: the first hash
	// is enough for those who waited behind it.
	if u.remembered.Contains(d) && known {
		return true, nil
	}
	began := time.Now()
	if !entry.hash.matches(password) || !known {
		failed = time.Since(began)
		return false, nil
	}
	u.remembered.Add(d, struct{}{})
	return true, nil
}

// NeverSuspect is for a client that is never suspect.
func NeverSuspect() bool { return false }

// entry is the user or, for an unknown name, one whose hash is computed in its
// stead. Which one is drawn by a keyed digest of the name: always the same for a
// name, and over many names as mixed as the users are, so that times tell
// nothing even if users differ in their schemes. It is nil if there are no users.
func (u *Users) entry(name string) (entry *user, known bool) {
	if found, ok := u.byName[name]; ok {
		return found, true
	}
	if len(u.byOrder) == 0 {
		return nil, false
	}
	d := u.hasher.digest("stand-in", name)
	return u.byOrder[binary.LittleEndian.Uint64(d[:])%uint64(len(u.byOrder))], false
}
