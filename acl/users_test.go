package acl

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func mustParse(t testing.TB, h *Hasher, lines string) *Users {
	t.Helper()
	users, err := ParseUsers(h, Source{Name: "htpasswd", Data: []byte(lines)})
	if err != nil {
		t.Fatal(err)
	}
	return users
}

// toolsFile is a htpasswd file written by htpasswd, openssl and mkpasswd.
func toolsFile(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("testdata/htpasswd")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func verify(t testing.TB, u *Users, name, password string) bool {
	t.Helper()
	ok, err := u.Verify(t.Context(), name, password, Client{})
	if err != nil {
		t.Fatalf("Verify(%q): got the error %v, want none", name, err)
	}
	return ok
}

// expectVerified checks whether the login is accepted.
func expectVerified(t testing.TB, u *Users, name, password string, want bool) {
	t.Helper()
	if got := verify(t, u, name, password); got != want {
		t.Errorf("Verify(%q) with a password of %d bytes: got %t, want %t", name, len(password), got, want)
	}
}

// expectRemembered checks whether the login needs no hash.
func expectRemembered(t testing.TB, u *Users, name, password string, want bool) {
	t.Helper()
	if got := u.Remembered(name, password); got != want {
		t.Errorf("Remembered(%q, %q): got %t, want %t", name, password, got, want)
	}
}

func TestUnchangedUsersAreThoseWithTheSameHashInBothFiles(t *testing.T) {
	h := NewHasher(HasherOptions{})
	lines := slices.DeleteFunc(strings.SplitAfter(toolsFile(t), "\n"), func(line string) bool { return strings.HasPrefix(line, "#") })
	all := mustParse(t, h, strings.Join(lines, ""))
	name, _, _ := strings.Cut(lines[0], ":")
	_, hash, _ := strings.Cut(lines[1], ":")
	for what, file := range map[string]string{
		"a user was removed":      strings.Join(lines[1:], ""),
		"a user has another hash": name + ":" + hash + strings.Join(lines[1:], ""),
	} {
		next := mustParse(t, h, file+"new:"+hash)
		rest := all.Unchanged(next)
		if rest.Has(name) || rest.Has("new") || rest.Len() != all.Len()-1 {
			t.Errorf("%s and one was added: got the users %q, want all of %q but %s", what, rest.Names(), all.Names(), name)
		}
	}
	if rest := all.Unchanged(all); !rest.Equal(all) {
		t.Errorf("the same file: got the users %q, want all of %q", rest.Names(), all.Names())
	}
}

func TestHashesOfTheRealToolsVerify(t *testing.T) {
	users := mustParse(t, NewHasher(HasherOptions{}), toolsFile(t))
	if users.Len() != 11 {
		t.Errorf("Len: got %d (%v), want 11", users.Len(), users.Names())
	}
	for _, name := range users.Names() {
		// The name of each user contains that of the scheme.
		scheme, ok := users.Scheme(name)
		part := strings.ToLower(strings.TrimSuffix(scheme, "-crypt"))
		if !ok || !strings.Contains(strings.ToLower(name), part) {
			t.Errorf("Scheme(%q): got %q, %t; want the scheme in the name", name, scheme, ok)
		}
		right := name + "-Secret1"
		for password, want := range map[string]bool{
			right: true, "": false, strings.ToLower(right): false, right + "x": false, right[:len(right)-1]: false,
			right + "\x00": false, strings.Repeat("x", 300): false,
		} {
			expectVerified(t, users, name, password, want)
		}
		expectVerified(t, users, strings.ToUpper(name), right, false)
	}
}

func TestAPasswordWithANULIsNeverRight(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := mustParse(t, NewHasher(HasherOptions{}), "alice:"+string(hash))
	expectVerified(t, users, "alice", "pw", true)
	for _, password := range []string{"pw\x00pw", "pw\x00pw\x00pw", "pw\x00", "\x00", "\x00pw"} {
		expectVerified(t, users, "alice", password, false)
	}
}

func TestABcryptPasswordIsNotMatchedByItsFirst72Bytes(t *testing.T) {
	// Written by htpasswd -nbB -C 4, which cut the password at 72 bytes.
	users := mustParse(t, NewHasher(HasherOptions{}), "long:$2y$04$"+bcryptOf72)
	password := strings.Repeat("a", 72)
	expectVerified(t, users, "long", password, true)
	expectVerified(t, users, "long", password+"b", false)
}

func TestASuccessIsRememberedAndAFailureIsNot(t *testing.T) {
	users := mustParse(t, NewHasher(HasherOptions{}), toolsFile(t))
	expectRemembered(t, users, "apr1", "apr1-Secret1", false)
	verify(t, users, "apr1", "apr1-Secret1")
	expectRemembered(t, users, "apr1", "apr1-Secret1", true)
	verify(t, users, "apr1", "wrong")
	expectRemembered(t, users, "apr1", "wrong", false)
	expectRemembered(t, users, "apr1openssl", "apr1-Secret1", false)
	// An unknown name is refused even if the user whose hash is computed instead has
	// this password.
	for _, name := range []string{"", "nobody", "Apr1"} {
		expectVerified(t, users, name, "apr1-Secret1", false)
		expectRemembered(t, users, name, "apr1-Secret1", false)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	h := NewHasher(HasherOptions{Remember: 2})
	users := mustParse(t, h, toolsFile(t))
	for _, name := range []string{"apr1", "sha", "ssha"} {
		verify(t, users, name, name+"-Secret1")
	}
	expectRemembered(t, users, "apr1", "apr1-Secret1", false)
	expectRemembered(t, users, "ssha", "ssha-Secret1", true)
}

func TestAPasswordIsRememberedAsLongAsItsUserHasTheSameHash(t *testing.T) {
	h := NewHasher(HasherOptions{})
	lines := toolsFile(t)
	for _, name := range []string{"apr1", "ssha"} {
		verify(t, mustParse(t, h, lines), name, name+"-Secret1")
	}
	var others []string // without apr1
	for line := range strings.Lines(lines) {
		if !strings.HasPrefix(line, "apr1:") {
			others = append(others, line)
		}
	}
	for what, lines := range map[string]string{
		"another hash of apr1": strings.Join(others, "") + "apr1:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		"no apr1":              strings.Join(others, ""),
	} {
		changed := mustParse(t, h, lines)
		if changed.Remembered("apr1", "apr1-Secret1") {
			t.Errorf("with %s: its old password is remembered, want it not to be", what)
		}
		if !changed.Remembered("ssha", "ssha-Secret1") {
			t.Errorf("with %s: the password of another user is forgotten, want it remembered", what)
		}
	}
	expectRemembered(t, mustParse(t, NewHasher(HasherOptions{}), lines), "ssha", "ssha-Secret1", false)
}

func TestFingerprintsFollowTheStoredPassword(t *testing.T) {
	h := NewHasher(HasherOptions{})
	lines := toolsFile(t)
	before, same := mustParse(t, h, lines), mustParse(t, h, lines)
	a, _ := before.Fingerprint("sha")
	b, _ := same.Fingerprint("sha")
	if a != b {
		t.Errorf("Fingerprint of the same file: got %x, want %x", b, a)
	}
	if !before.Equal(same) {
		t.Error("Equal of the same file: got false, want true")
	}
	changed := mustParse(t, h, "sha:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	if c, ok := changed.Fingerprint("sha"); !ok || c == a {
		t.Errorf("Fingerprint of another hash: got %x, %t; want one that is not %x", c, ok, a)
	}
	if changed.Equal(before) {
		t.Error("Equal of another file: got true, want false")
	}
	if got, ok := before.Fingerprint("nobody"); ok {
		t.Errorf("Fingerprint of an unknown user: got %x, want none", got)
	}
}

func TestNobodyIsVerifiedWithoutUsers(t *testing.T) {
	users := mustParse(t, NewHasher(HasherOptions{}), "# none\n\n")
	expectVerified(t, users, "root", "x", false)
	expectRemembered(t, users, "root", "x", false)
}

func TestUnknownUsersStandInForAllKnownOnes(t *testing.T) {
	users := mustParse(t, NewHasher(HasherOptions{}), toolsFile(t))
	seen := map[string]bool{}
	for i := range 500 {
		name := "nobody" + strings.Repeat("x", i)
		entry, known := users.lookup(name)
		if known {
			t.Fatalf("lookup(%q): got a known user, want an unknown one", name)
		}
		seen[entry.name] = true
	}
	if len(seen) != users.Len() {
		t.Errorf("lookup of 500 unknown names: got the hashes of %d users, want those of all %d", len(seen), users.Len())
	}
}

func TestNoHashIsComputedForAClientThatHasLeft(t *testing.T) {
	users := mustParse(t, NewHasher(HasherOptions{}), toolsFile(t))
	ctx, leave := context.WithCancel(t.Context())
	// It leaves while others are hashed: when its turn comes, it has left.
	client := Client{Turn: func(context.Context, bool) (func(), error) {
		leave()
		return func() {}, nil
	}}
	if ok, err := users.Verify(ctx, "apr1", "apr1-Secret1", client); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("Verify for a client that has left: got %t, %v; want %v", ok, err, context.Canceled)
	}
	expectRemembered(t, users, "apr1", "apr1-Secret1", false)
}
