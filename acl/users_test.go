package acl

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func testUsers(t testing.TB, h *Hasher, lines string) *Users {
	t.Helper()
	users, err := ParseUsers(h, Source{Name: "htpasswd", Data: []byte(lines)})
	if err != nil {
		t.Fatal(err)
	}
	return users
}

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
	ok, err := u.Verify(context.Background(), name, password, NeverSuspect)
	if err != nil {
		t.Fatalf("verifying %s: %v", name, err)
	}
	return ok
}

func TestHashesOfTheRealToolsVerify(t *testing.T) {
	users := testUsers(t, NewHasher(HasherOptions{}), toolsFile(t))
	if users.Len() != 11 {
		t.Errorf("%d users, want 11: %v", users.Len(), users.Names())
	}
	for _, name := range users.Names() {
		if scheme, ok := users.Scheme(name); !ok || !strings.Contains(strings.ToLower(name), strings.ToLower(strings.TrimSuffix(scheme, "-crypt"))) {
			t.Errorf("the hash of %s is said to be %s", name, scheme)
		}
		right := name + "-Secret1"
		for password, want := range map[string]bool{
			right: true, "": false, strings.ToLower(right): false, right + "x": false, right[:len(right)-1]: false,
			right + "\x00": false, strings.Repeat("x", 300): false,
		} {
			if got := verify(t, users, name, password); got != want {
				t.Errorf("user %s with a password of %d bytes: %v, want %v", name, len(password), got, want)
			}
		}
		if verify(t, users, strings.ToUpper(name), right) {
			t.Errorf("user %s was taken in capital letters", name)
		}
	}
}

func TestABcryptPasswordIsNotMatchedByItsFirst72Bytes(t *testing.T) {
	// Made by htpasswd -nbB -C 4, which cut the password at 72 bytes.
	users := testUsers(t, NewHasher(HasherOptions{}), "long:$2y$04$"+bcryptOf72)
	password := strings.Repeat("a", 72)
	if !verify(t, users, "long", password) {
		t.Error("the password of 72 bytes was refused")
	}
	if verify(t, users, "long", password+"b") {
		t.Error("a password of 73 bytes was accepted")
	}
}

func TestASuccessIsRememberedAndAFailureIsNot(t *testing.T) {
	users := testUsers(t, NewHasher(HasherOptions{}), toolsFile(t))
	remembered := func(name, password string, want bool) {
		t.Helper()
		if got := users.Remembered(name, password); got != want {
			t.Errorf("%s remembered: %v, want %v", name, got, want)
		}
	}
	remembered("apr1", "apr1-Secret1", false)
	verify(t, users, "apr1", "apr1-Secret1")
	remembered("apr1", "apr1-Secret1", true)
	verify(t, users, "apr1", "wrong")
	remembered("apr1", "wrong", false)
	remembered("apr1openssl", "apr1-Secret1", false)
	// A stranger's name never counts, even if the user it stands in for has the password.
	for _, name := range []string{"", "nobody", "Apr1"} {
		if verify(t, users, name, "apr1-Secret1") || users.Remembered(name, "apr1-Secret1") {
			t.Errorf("the unknown user %q was let in", name)
		}
	}
}

func TestWhatIsRememberedIsBoundedAndGoesWithTheUsers(t *testing.T) {
	h := NewHasher(HasherOptions{Remember: 2})
	users := testUsers(t, h, toolsFile(t))
	for _, name := range []string{"apr1", "sha", "ssha"} {
		verify(t, users, name, name+"-Secret1")
	}
	if users.Remembered("apr1", "apr1-Secret1") || !users.Remembered("ssha", "ssha-Secret1") {
		t.Error("the oldest of three was not forgotten, or the newest was")
	}
	if again := testUsers(t, h, toolsFile(t)); again.Remembered("ssha", "ssha-Secret1") {
		t.Error("new users began with something remembered")
	}
}

func TestFingerprintsFollowTheStoredPassword(t *testing.T) {
	h := NewHasher(HasherOptions{})
	lines := toolsFile(t)
	before, same := testUsers(t, h, lines), testUsers(t, h, lines)
	a, _ := before.Fingerprint("sha")
	b, _ := same.Fingerprint("sha")
	if a != b || !before.Equal(same) {
		t.Error("the same file gave another fingerprint")
	}
	changed := testUsers(t, h, "sha:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	if c, ok := changed.Fingerprint("sha"); !ok || c == a || changed.Equal(before) {
		t.Error("another hash gave the same fingerprint")
	}
	if _, ok := before.Fingerprint("nobody"); ok {
		t.Error("an unknown user has a fingerprint")
	}
}

func TestNobodyIsVerifiedWithoutUsers(t *testing.T) {
	if users := testUsers(t, NewHasher(HasherOptions{}), "# none\n\n"); verify(t, users, "root", "x") || users.Remembered("root", "x") {
		t.Error("a user was let in by an empty file")
	}
}

func TestUnknownUsersStandInForAllKnownOnes(t *testing.T) {
	users := testUsers(t, NewHasher(HasherOptions{}), toolsFile(t))
	seen := map[string]bool{}
	for i := range 500 {
		entry, known := users.entry("nobody" + strings.Repeat("x", i))
		if known {
			t.Fatal("an unknown user is known")
		}
		seen[entry.name] = true
	}
	if len(seen) != users.Len() {
		t.Errorf("unknown names cost as much as %d of %d users", len(seen), users.Len())
	}
}

func TestLoginsBeyondTheQueueAreToldSoAtOnce(t *testing.T) {
	h := NewHasher(HasherOptions{Workers: 1, Queue: 1})
	users := testUsers(t, h, toolsFile(t))
	release, err := h.acquire(context.Background(), NeverSuspect) // the worker is taken
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, err := users.Verify(ctx, "apr1", "x", NeverSuspect); !errors.Is(err, context.Canceled) {
			t.Errorf("a login that waited ended with %v", err)
		}
	})
	for h.workers.pending.Load() < 2 {
		runtime.Gosched()
	}
	if _, err := users.Verify(ctx, "apr1", "x", NeverSuspect); !errors.Is(err, ErrBusy) {
		t.Errorf("the third login ended with %v, want ErrBusy", err)
	}
	cancel()
	waiting.Wait()
	release(0)
	if !verify(t, users, "apr1", "apr1-Secret1") {
		t.Error("no login is possible after the rush")
	}
}

func TestSuspectsRestLongerAndKeepNobodyElseWaiting(t *testing.T) {
	h := NewHasher(HasherOptions{Workers: 1})
	users := testUsers(t, h, toolsFile(t))
	asked := 0
	becomesSuspect := func() bool { asked++; return asked > 1 } // while it waits for the worker
	release, err := h.acquire(context.Background(), becomesSuspect)
	if err != nil {
		t.Fatal(err)
	}
	release(time.Hour) // its hash failed
	if !verify(t, users, "apr1", "apr1-Secret1") {
		t.Error("others cannot log in")
	}
	ctx, cancel := context.WithCancel(context.Background())
	var waiting sync.WaitGroup
	for range mostSuspects {
		waiting.Go(func() {
			if _, err := users.Verify(ctx, "apr1", "apr1-Secret1", suspect); !errors.Is(err, context.Canceled) {
				t.Errorf("a suspect that waited ended with %v", err)
			}
		})
	}
	for h.suspects.pending.Load() < mostSuspects {
		runtime.Gosched()
	}
	if h.workers.pending.Load() != 0 {
		t.Error("suspects that wait take part of the queue of all")
	}
	cancel()
	waiting.Wait()
}

func suspect() bool { return true }

func TestManyLoginsAtOnceAreAllVerified(t *testing.T) {
	users := testUsers(t, NewHasher(HasherOptions{Workers: 2, Queue: 1000}), toolsFile(t))
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			if right := i%2 == 0; verify(t, users, "apr1", map[bool]string{true: "apr1-Secret1", false: "wrong"}[right]) != right {
				t.Errorf("login %d was not decided as %v", i, right)
			}
		})
	}
	all.Wait()
}
