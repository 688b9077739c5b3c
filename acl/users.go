package acl

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"time"
)

// Users is the set of users of some htpasswd files. It is safe for concurrent use,
// and immutable.
//
// A password that was verified is remembered by its [Hasher], as a keyed digest of the
// name, the stored hash and the password. The next login with it computes no hash.
// Failures are not remembered. A digest is of no use once the user has another hash, or
// none; as long as the hash is the same, the password is remembered across reloads.
type Users struct {
	hasher *Hasher
	byName map[string]*user
	sorted []*user // by name
}

type user struct {
	name        string
	hash        storedHash
	fingerprint [16]byte
	at          position
}

// position is where a user was defined, for error messages.
type position struct {
	file string
	line int
}

func newUsers(h *Hasher, byName map[string]*user) *Users {
	u := &Users{hasher: h, byName: byName}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		u.sorted = append(u.sorted, byName[name])
	}
	return u
}

// Has reports whether the user exists.
func (u *Users) Has(name string) bool {
	_, ok := u.byName[name]
	return ok
}

// Names returns the names of the users in alphabetical order.
func (u *Users) Names() []string { return slices.Sorted(maps.Keys(u.byName)) }

// Len returns the number of users.
func (u *Users) Len() int { return len(u.byName) }

// Fingerprint returns a digest of the user's name and stored hash. Two fingerprints
// from the same process are equal if the stored password is the same.
func (u *Users) Fingerprint(name string) (fingerprint [16]byte, ok bool) {
	found, ok := u.byName[name]
	if !ok {
		return fingerprint, false
	}
	return found.fingerprint, true
}

// Scheme returns the scheme that the user's password is hashed with: apr1, bcrypt,
// SHA, SSHA, sha256-crypt or sha512-crypt.
func (u *Users) Scheme(name string) (scheme string, ok bool) {
	found, ok := u.byName[name]
	if !ok {
		return "", false
	}
	return found.hash.scheme, true
}

// CanonicalName returns the copy of the user's name that u holds. It is for callers
// whose own copy shares a buffer that will be reused.
func (u *Users) CanonicalName(name string) (canonical string, ok bool) {
	found, ok := u.byName[name]
	if !ok {
		return "", false
	}
	return found.name, true
}

// Equal reports whether both sets hold the same users with the same stored hashes.
func (u *Users) Equal(other *Users) bool {
	return maps.EqualFunc(u.byName, other.byName, func(a, b *user) bool { return a.hash.text == b.hash.text })
}

// Unchanged returns the users of u who have the same stored hash in other. Whoever may log in
// with the result may log in with both.
func (u *Users) Unchanged(other *Users) *Users {
	same := maps.Clone(u.byName)
	maps.DeleteFunc(same, func(name string, entry *user) bool {
		now, ok := other.byName[name]
		return !ok || now.hash.text != entry.hash.text
	})
	return newUsers(u.hasher, same)
}

// Without returns the users of u whom other does not have with the same stored hash, or nil if
// there are none.
func (u *Users) Without(other *Users) *Users {
	rest := maps.Clone(u.byName)
	maps.DeleteFunc(rest, func(name string, entry *user) bool {
		there, ok := other.byName[name]
		return ok && there.hash.text == entry.hash.text
	})
	if len(rest) == 0 {
		return nil
	}
	return newUsers(u.hasher, rest)
}

// Remembered reports whether the password was verified before. It takes about a
// microsecond and does not allocate.
func (u *Users) Remembered(name, password string) bool {
	entry, known := u.lookup(name)
	if entry == nil {
		return false
	}
	_, ok := u.hasher.remembered.Get(u.hasher.digest(name, entry.hash.text, password))
	return ok && known
}

// Verify reports whether the password is the user's. It computes one hash unless the
// password is remembered; an unknown user costs as much as a known one. If the error is not
// nil, the password was not checked: the error is that of ctx, or that of the client's turn. No
// hash is computed once ctx has ended.
func (u *Users) Verify(ctx context.Context, name, password string, c Client) (bool, error) {
	entry, known := u.lookup(name)
	if entry == nil {
		return false, nil
	}
	release, err := c.acquire(ctx)
	if err != nil {
		return false, err
	}
	failed := time.Duration(0)
	defer func() { release(failed) }()
	if err := ctx.Err(); err != nil {
		return false, err // the client has left, perhaps while others were hashed
	}
	d := u.hasher.digest(name, entry.hash.text, password)
	// After a start many clients may log in with one password at once. The first hash
	// serves all logins that waited for it.
	if u.hasher.remembered.Contains(d) && known {
		return true, nil
	}
	start := time.Now()
	if !entry.hash.matches(password) || !known {
		failed = min(time.Since(start), longestHash)
		return false, nil
	}
	u.hasher.remembered.Add(d, struct{}{})
	return true, nil
}

// lookup returns the user or, for an unknown name, another user whose hash is computed
// instead. A keyed digest of the name selects that user. The same name always gets the
// same user, and over many names the schemes are as mixed as those of the users, so
// response times do not reveal which names exist. The entry is nil if there are no
// users.
func (u *Users) lookup(name string) (entry *user, known bool) {
	if found, ok := u.byName[name]; ok {
		return found, true
	}
	if len(u.sorted) == 0 {
		return nil, false
	}
	d := u.hasher.digest("stand-in", name)
	return u.sorted[binary.LittleEndian.Uint64(d[:])%uint64(len(u.sorted))], false
}
